"""Guests in the Django admin; read-only, since Proxmox and the operations write them."""

from django.contrib import admin

from events.admin import ReadOnly
from guests.models import Guest


@admin.register(Guest)
class GuestAdmin(ReadOnly):
    list_display = ["vmid", "node", "project", "state", "power", "observed_at"]
    list_filter = ["state", "power", "node"]
    search_fields = ["vmid"]
