"""The event table. Rows are appended, never edited: a trigger refuses it (see the first migration)."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models


class Event(models.Model):
    """A fact that happened: audit trail, outbox and source of the live pages in one."""

    at = models.DateTimeField(auto_now_add=True)
    kind = models.CharField(max_length=60)  # "machine.running"
    subject = models.CharField(max_length=80)  # "machine:<uuid>"
    project_id = models.UUIDField(null=True)
    actor = models.CharField(max_length=150)
    data = models.JSONField(default=dict, encoder=DjangoJSONEncoder)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["subject", "-id"], name="event_by_subject"),
            models.Index(fields=["project_id", "-id"], name="event_by_project"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"
