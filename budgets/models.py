"""Budgets, holds on them, and the ledger. Machines stand above this room: it knows their ids only."""

import uuid

from django.db import models
from django.db.models import F, Q

from projects.models import Project


class Resource(models.TextChoices):
    """What a budget limits, and the unit it is counted in."""

    MONEY = "money"  # micro-units of the project's currency
    TOKENS = "tokens"  # read and written, cached ones included
    CALLS = "calls"  # model calls


# The least that a call of any use may take: a prompt of 4,096 tokens, of which the provider's own instructions may
# be half, and an answer of 1,024. Even the cheapest current model may take a little more than a cent for that.
SMALL_CALL = {Resource.MONEY: 10_000, Resource.TOKENS: 5_120, Resource.CALLS: 1}


class Budget(models.Model):
    """A limit on one resource for a project, or for one machine of it.

    `spent + reserved <= limit` holds always: it is a constraint. Should a provider bill more than the bound
    that was held, the ledger records all of it, and what does not fit under the limit is kept in `overrun`.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="budgets")
    machine_id = models.UUIDField(null=True, blank=True)  # null: all machines of the project together
    scope = models.CharField(max_length=60)  # whose limit it is, as sentences say it: "Machine m12"
    resource = models.CharField(max_length=10, choices=Resource)
    limit = models.BigIntegerField()
    reserved = models.BigIntegerField(default=0)
    spent = models.BigIntegerField(default=0)
    overrun = models.BigIntegerField(default=0)
    exhausted_at = models.DateTimeField(null=True, blank=True)  # since when no call fits any more
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]  # also the order in which rows are locked
        constraints = [
            models.UniqueConstraint(
                fields=["project", "machine_id", "resource"],
                nulls_distinct=False,
                name="one_budget_per_scope_and_resource",
            ),
            models.CheckConstraint(
                condition=Q(spent__lte=F("limit") - F("reserved")), name="budget_is_never_overdrawn"
            ),
            models.CheckConstraint(
                condition=Q(reserved__gte=0, spent__gte=0, overrun__gte=0),
                name="budget_amounts_are_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(resource__in=Resource.values), name="budget_resource_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope}: {self.resource}"

    @property
    def subject(self) -> str:
        return f"budget:{self.pk}"

    @property
    def left(self) -> int:
        """What may still be promised; negative after an overrun."""
        return self.limit - self.reserved - self.spent - self.overrun

    @property
    def unspent(self) -> int:
        """What is left should the calls under way turn out to cost nothing."""
        return self.left + self.reserved

    @property
    def has_room(self) -> bool:
        """Whether a small call fits, if need be once the calls under way have ended."""
        return self.unspent >= SMALL_CALL[Resource(self.resource)]


class Reservation(models.Model):
    """A hold on every budget that applies to one call, for the most the call can use."""

    class State(models.TextChoices):
        HELD = "held"
        SETTLED = "settled"  # what was really used is in the ledger
        RELEASED = "released"  # nothing was used
        EXPIRED = "expired"  # nobody came back; charged in full, until somebody does

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.CharField(
        max_length=80, unique=True
    )  # the caller's; the second request with it is the first
    project = models.ForeignKey(Project, models.PROTECT, related_name="+")
    machine_id = models.UUIDField(null=True)
    state = models.CharField(max_length=10, choices=State, default=State.HELD)
    model = models.CharField(max_length=100)
    price_version = models.CharField(max_length=60)
    micros = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

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
            models.Index(fields=["expires_at"], condition=Q(state="held"), name="reservation_open")
        ]

    def __str__(self) -> str:
        return f"{self.key} ({self.state})"


class ReservationLine(models.Model):
    """The part of a reservation that one budget carries."""

    reservation = models.ForeignKey(Reservation, models.PROTECT, related_name="lines")
    budget = models.ForeignKey(Budget, models.PROTECT, related_name="lines")
    amount = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["reservation", "budget"], name="one_line_per_reservation_and_budget"
            )
        ]

    def __str__(self) -> str:
        return f"{self.amount} of {self.budget_id}"


class LedgerEntry(models.Model):
    """A fact of consumption. Appended, never edited: a trigger refuses it (see the second migration)."""

    class Kind(models.TextChoices):
        USAGE = "usage"  # the provider's own figures
        ASSUMED = "assumed"  # the upper bound, because no figures came
        CORRECTION = "correction"  # the difference, once the figures came after all

    key = models.CharField(max_length=100, unique=True)
    reservation = models.ForeignKey(Reservation, models.PROTECT, related_name="entries")
    project = models.ForeignKey(Project, models.PROTECT, related_name="+")
    machine_id = models.UUIDField(null=True)
    kind = models.CharField(max_length=10, choices=Kind)
    micros = models.BigIntegerField()
    calls = models.SmallIntegerField()
    input_tokens = models.BigIntegerField()  # new ones: neither read from the cache nor written to it
    cached_tokens = models.BigIntegerField()  # read from the cache
    cache_write_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    model = models.CharField(max_length=100)
    price_version = models.CharField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["project", "-id"], name="ledger_by_project"),
            models.Index(fields=["machine_id", "-id"], name="ledger_by_machine"),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.cached_tokens + self.cache_write_tokens + self.output_tokens
