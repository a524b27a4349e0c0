"""Verifications: each time somebody, or the schedule, wanted to know whether a checkpoint can be returned to."""

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from checkpoints.models.checkpoint import Checkpoint
from checkpoints.states import VERDICTS, Depth, Verdict
from guests.models import Guest
from projects.errors import Conflict


class Verification(models.Model):
    """One proof, or the attempt. Rows are appended; the worker that carries it out writes the verdict."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    checkpoint = models.ForeignKey(Checkpoint, models.CASCADE, related_name="verifications")
    depth = models.CharField(max_length=10, choices=Depth)
    verdict = models.CharField(max_length=10, choices=Verdict, default=Verdict.REQUESTED)
    sentence = models.TextField(blank=True)  # what was found, or why nothing was
    evidence = models.JSONField(default=dict)  # figures: files hashed, bytes, seconds of each part
    scratch = models.ForeignKey(Guest, models.SET_NULL, null=True, related_name="+")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)  # nobody: the schedule
    asked_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)
    seconds = models.FloatField(default=0)  # that a scratch guest was up for it

    class Meta:
        ordering = ["-asked_at"]
        constraints = [
            models.CheckConstraint(condition=Q(verdict__in=Verdict.values), name="verdict_is_known"),
            models.UniqueConstraint(
                fields=["checkpoint"], condition=Q(verdict="requested"), name="one_verification_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.depth} of {self.checkpoint_id}"

    def move(self, to: Verdict, **also: Any) -> None:
        """Write the verdict; the only writer of it. Raises `Conflict` when there is one already."""
        sources = [verdict for verdict, targets in VERDICTS.items() if to in targets]
        if not Verification.objects.filter(pk=self.pk, verdict__in=sources).update(verdict=to, **also):
            raise Conflict(f"This verification cannot become {to.label.lower()} now.")
        self.verdict = to
        for name, value in also.items():
            setattr(self, name, value)
