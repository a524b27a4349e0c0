"""Model calls in the Django admin: to be read."""

from django.contrib import admin
from django.http import HttpRequest

from gateway.models import Call


@admin.register(Call)
class CallAdmin(admin.ModelAdmin[Call]):
    list_display = [
        "machine",
        "number",
        "model",
        "state",
        "cost_micros",
        "started_at",
        "duration_ms",
        "stall_ms",
    ]
    list_filter = ["state", "model", "offline"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Call | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Call | None = None) -> bool:
        return False
