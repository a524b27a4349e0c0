"""Holds on budgets, each for the most that one thing can use. What was used is in the ledger."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q

from projects.models import Project


class Reservation(models.Model):
    """A hold on every budget that applies to one thing, for the most that it can use."""

    class State(models.TextChoices):
        HELD = "held"
        SETTLED = "settled"  # what was really used is in the ledger
        RELEASED = "released"  # nothing was used
        EXPIRED = "expired"  # nobody came back; charged in full, until somebody does

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # The caller's; the second request with it is the first.
    key = models.CharField(max_length=100, unique=True)
    project = models.ForeignKey(Project, models.PROTECT, related_name="+")
    machine_id = models.UUIDField(null=True)
    member_id = models.BigIntegerField(null=True)
    state = models.CharField(max_length=10, choices=State, default=State.HELD)
    label = models.CharField(max_length=100)  # what for: the model's name, or "compute"
    price_version = models.CharField(max_length=80, blank=True)
    units = models.BigIntegerField()  # granted: tokens of the answer, or seconds
    landing = models.BooleanField(default=False)
    held: "models.JSONField[dict[str, int], dict[str, int]]" = models.JSONField()  # by resource
    windows = ArrayField(models.BigIntegerField())
    amounts = ArrayField(models.BigIntegerField())  # of each window
    cost_micros = models.BigIntegerField(default=0)  # once it has ended
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["held", "settled", "released", "expired"]),
                name="reservation_state_is_known",
            )
        ]
        indexes = [
            # What the reaper asks for, every few seconds.
            models.Index(fields=["expires_at"], condition=Q(state="held"), name="reservation_open"),
            BrinIndex(fields=["created_at"], name="reservation_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.key} ({self.state})"
