"""Operations in the Django admin; read-only, since workers and the watcher write them."""

from django.contrib import admin
from django.http import HttpRequest

from operations.models import Operation


@admin.register(Operation)
class OperationAdmin(admin.ModelAdmin[Operation]):
    list_display = ["verb", "subject", "project", "status", "step", "attempts", "created_at", "finished_at"]
    list_filter = ["status", "verb"]
    search_fields = ["subject", "upid", "error"]
    list_select_related = ["project"]
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Operation | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Operation | None = None) -> bool:
        return False
