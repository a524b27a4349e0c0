"""Machines in the Django admin; read-only: what may be done to them is done by their verbs."""

from django.contrib import admin

from events.admin import ReadOnly
from machines.models import Machine


@admin.register(Machine)
class MachineAdmin(ReadOnly):
    list_display = ["handle", "project", "type", "state", "title", "created_by", "created_at", "ended_at"]
    list_filter = ["state", "type"]
    search_fields = ["=number", "prompt", "sentence"]
    list_select_related = ["project", "created_by"]
    show_full_result_count = False
