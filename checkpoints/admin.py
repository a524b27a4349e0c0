"""Checkpoints in the Django admin; read-only."""

from django.contrib import admin

from checkpoints.models import Checkpoint


@admin.register(Checkpoint)
class CheckpointAdmin(admin.ModelAdmin[Checkpoint]):
    list_display = ["handle", "project", "kind", "state", "why", "created_at"]
    list_filter = ["state", "kind"]
    search_fields = ["handle", "why"]
    readonly_fields = [field.name for field in Checkpoint._meta.fields]
    list_select_related = ["project"]
