"""Events in the Django admin, to read and search; and how rooms show what is written by their actions alone."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from events.models import Event


class ReadOnly(admin.ModelAdmin[Any]):
    """Rows that can be looked at, and neither added, changed nor deleted."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Event)
class EventAdmin(ReadOnly):
    list_display = ["at", "kind", "subject", "actor"]
    list_filter = ["kind"]
    search_fields = ["subject", "actor"]
    show_full_result_count = False
