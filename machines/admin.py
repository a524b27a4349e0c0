"""Machines in the Django admin; read-only: what may be done to them is done by their verbs."""

from django.contrib import admin
from django.http import HttpRequest

from machines.models import Machine


@admin.register(Machine)
class MachineAdmin(admin.ModelAdmin[Machine]):
    list_display = ["handle", "project", "type", "state", "title", "created_by", "created_at", "ended_at"]
    list_filter = ["state", "type"]
    search_fields = ["=number", "prompt", "sentence"]
    list_select_related = ["project", "created_by"]
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Machine | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Machine | None = None) -> bool:
        return False
