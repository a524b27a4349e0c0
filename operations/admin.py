"""Operations in the Django admin; read-only, since workers and the watcher write them."""

from django.contrib import admin

from events.admin import ReadOnly
from operations.models import Operation


@admin.register(Operation)
class OperationAdmin(ReadOnly):
    list_display = ["verb", "subject", "project", "status", "step", "attempts", "created_at", "finished_at"]
    list_filter = ["status", "verb"]
    search_fields = ["subject", "upid", "error"]
    list_select_related = ["project"]
    show_full_result_count = False
