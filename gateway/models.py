"""Model calls, as the pages and the API show them. What they cost is in the ledger; this is where the time went."""

import uuid

from django.db import models
from django.db.models import Q

from machines.models import Machine


class Call(models.Model):
    """One model call of one machine."""

    class State(models.TextChoices):
        ADMITTED = "admitted"  # paid for, and on its way to the provider
        STREAMING = "streaming"  # the provider is answering
        DONE = "done"
        FAILED = "failed"  # broke off; charged by what is known
        RELEASED = "released"  # refused by the provider; cost nothing

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    machine = models.ForeignKey(Machine, models.CASCADE, related_name="calls")
    number = models.PositiveIntegerField()  # 1, 2, … within the machine
    reservation_id = models.UUIDField()
    request_id = models.CharField(max_length=100, blank=True)  # the provider's
    model = models.CharField(max_length=100)
    offline = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=State, default=State.ADMITTED)
    status = models.PositiveSmallIntegerField(null=True)  # HTTP status of the provider's answer
    error = models.TextField(blank=True)

    input_tokens = models.PositiveBigIntegerField(default=0)
    cached_tokens = models.PositiveBigIntegerField(default=0)
    cache_write_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost_micros = models.PositiveBigIntegerField(default=0)

    started_at = models.DateTimeField()
    first_byte_ms = models.PositiveIntegerField(null=True)
    duration_ms = models.PositiveIntegerField(null=True)
    stall_ms = models.PositiveIntegerField(default=0)  # the answer waited for the checkpoint
    checkpoint_id = models.UUIDField(null=True)

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(fields=["machine", "number"], name="call_number_once_per_machine"),
            models.CheckConstraint(
                condition=Q(state__in=["admitted", "streaming", "done", "failed", "released"]),
                name="call_state_is_known",
            ),
        ]
        indexes = [
            models.Index(
                fields=["started_at"], condition=Q(state__in=["admitted", "streaming"]), name="call_open"
            )
        ]

    def __str__(self) -> str:
        return f"call {self.number} of {self.machine_id}"
