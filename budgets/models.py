"""Budgets, their windows, holds on them, and the ledger. Machines stand above this room: it knows their ids only."""

import uuid
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q

from budgets.resources import COMPUTE, Period, Resource
from projects.models import Project

# The least that a call of any use may take: a prompt of 4,096 tokens, of which the provider's own instructions may
# be half, and an answer of 1,024. Even the cheapest current model may take a little more than a cent for that.
SMALL_CALL = {
    Resource.MONEY: 10_000,
    Resource.TOKENS: 5_120,
    Resource.INPUT_TOKENS: 4_096,
    Resource.CACHED_TOKENS: 4_096,
    Resource.OUTPUT_TOKENS: 1_024,
}


def usual_marks() -> list[int]:
    return [50, 75, 90]


class BudgetQuerySet(models.QuerySet["Budget"]):
    def standing(self) -> "BudgetQuerySet":
        return self.filter(removed_at=None)


class Budget(models.Model):
    """A rule: so much of one resource, for one holder, in every period. What is left of it is in its open `Window`."""

    holder = models.CharField(max_length=100)  # see `resources.Payer`
    project = models.ForeignKey(Project, models.CASCADE, null=True, related_name="budgets")
    scope = models.CharField(max_length=100)  # whose it is, as sentences say it: "Machine m12"
    resource = models.CharField(max_length=20, choices=Resource)
    period = models.CharField(max_length=10, choices=Period, default=Period.TOTAL)
    timezone = models.CharField(max_length=60, default="UTC")  # where its days, weeks and months begin
    limit = models.BigIntegerField()
    carry_over = models.BooleanField(default=False)  # what a period leaves is added to the next
    landing_percent = models.PositiveSmallIntegerField(default=0)  # kept back for wrapping up
    marks = ArrayField(models.PositiveSmallIntegerField(), default=usual_marks)  # per cent at which to warn
    pooled = models.BooleanField(default=False)  # its limit is a share of a pool, dealt out anew each period
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True)

    objects = BudgetQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["holder", "resource", "period"],
                condition=Q(removed_at=None),
                name="one_budget_per_holder_resource_and_period",
            ),
            models.CheckConstraint(
                condition=Q(resource__in=Resource.values), name="budget_resource_is_known"
            ),
            models.CheckConstraint(condition=Q(period__in=Period.values), name="budget_period_is_known"),
            models.CheckConstraint(
                condition=Q(limit__gte=0, landing_percent__lte=50), name="budget_limit_is_sensible"
            ),
            models.CheckConstraint(
                condition=Q(carry_over=False) | Q(period__in=["hour", "day", "week", "month"]),
                name="budget_carries_over_from_period_to_period",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope}: {self.resource} per {self.period}"

    @property
    def subject(self) -> str:
        return f"budget:{self.pk}"

    @property
    def machine_id(self) -> uuid.UUID | None:
        kind, _, rest = self.holder.partition(":")
        return uuid.UUID(rest) if kind == "machine" else None

    @property
    def member_id(self) -> int | None:
        kind, *rest = self.holder.split(":")
        return int(rest[1]) if kind == "member" else None

    @property
    def kind(self) -> str:
        """system, hub, project, member or machine."""
        return self.holder.partition(":")[0]


class WindowQuerySet(models.QuerySet["Window"]):
    def open(self) -> "WindowQuerySet":
        return self.filter(closed_at=None)

    def of(self, holders: list[str]) -> "WindowQuerySet":
        return self.filter(holder__in=holders, closed_at=None)


class Window(models.Model):
    """The balance of a budget in one period. A new period is a new row; what was held in an old one is settled there.

    `spent + reserved <= limit` holds always: it is a constraint. Should more be used than the bound that was
    held, the ledger records all of it, and what does not fit under the limit is kept in `overrun`.
    """

    budget = models.ForeignKey(Budget, models.CASCADE, related_name="windows")
    holder = models.CharField(max_length=100)
    resource = models.CharField(max_length=20, choices=Resource)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)  # null: the open one
    limit = models.BigIntegerField()  # with what was carried over and transferred
    landing_percent = models.PositiveSmallIntegerField(default=0)
    reserved = models.BigIntegerField(default=0)
    spent = models.BigIntegerField(default=0)
    overrun = models.BigIntegerField(default=0)
    exhausted_at = models.DateTimeField(null=True)  # since when no call fits any more
    warned = models.PositiveSmallIntegerField(default=0)  # the highest mark that was said
    overrun_told = models.BigIntegerField(default=0)

    objects = WindowQuerySet.as_manager()

    class Meta:
        ordering = ["id"]  # also the order in which rows are locked
        constraints = [
            models.UniqueConstraint(
                fields=["budget"], condition=Q(closed_at=None), name="one_open_window_per_budget"
            ),
            models.CheckConstraint(
                condition=Q(spent__lte=F("limit") - F("reserved")), name="budget_is_never_overdrawn"
            ),
            models.CheckConstraint(
                condition=Q(reserved__gte=0, spent__gte=0, overrun__gte=0, overrun_told__gte=0),
                name="window_amounts_are_not_negative",
            ),
        ]
        indexes = [
            models.Index(fields=["holder"], condition=Q(closed_at=None), name="window_open"),
            models.Index(fields=["budget", "starts_at"], name="window_by_budget"),
        ]

    def __str__(self) -> str:
        return f"{self.budget} from {self.starts_at:%Y-%m-%d %H:%M}"

    @property
    def left(self) -> int:
        """What may still be promised; negative after an overrun."""
        return self.limit - self.reserved - self.spent - self.overrun

    @property
    def unspent(self) -> int:
        """What is left should all that is held turn out to be used by nobody."""
        return self.left + self.reserved

    @property
    def consumed(self) -> int:
        return self.spent + self.overrun

    @property
    def percent(self) -> int:
        """How much of the limit is consumed; more than 100 after an overrun."""
        return 100 * self.consumed // self.limit if self.limit else 100

    @property
    def is_rate(self) -> bool:
        """Whether it is so short that one waits for the next instead of giving up."""
        return bool(self.ends_at and (self.ends_at - self.starts_at).total_seconds() <= 60)

    @property
    def has_room(self) -> bool:
        """Whether a small call fits, or a moment's work, if need be once what is under way has ended."""
        return self.is_rate or self.unspent >= SMALL_CALL.get(Resource(self.resource), 1)


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


class LedgerEntry(models.Model):
    """A fact: consumption, or a change of a limit. Appended, never edited: a trigger refuses it.

    The table is partitioned by `month`, which is that of what the entry belongs to, so that a key said twice meets
    itself in the same partition (see the migrations). `windows` and `amounts` are the double entry: what it changed
    in each balance. Balances can be derived from them alone.
    """

    class Kind(models.TextChoices):
        USAGE = "usage"  # the provider's own figures, or what was measured
        ASSUMED = "assumed"  # the upper bound, because no figures came
        CORRECTION = "correction"  # the difference, once the figures came after all
        RERATING = "rerating"  # the difference to another price
        LIMIT = "limit"  # a limit was set, or a period began
        TRANSFER = "transfer"  # part of a limit went from one budget to another

    id = models.BigAutoField(primary_key=True)
    month = models.DateField()
    key = models.CharField(max_length=120)
    kind = models.CharField(max_length=10, choices=Kind)
    reservation_id = models.UUIDField(null=True)
    project = models.ForeignKey(
        Project, models.DO_NOTHING, null=True, related_name="+", db_constraint=False, db_index=False
    )
    machine_id = models.UUIDField(null=True)
    member_id = models.BigIntegerField(null=True)
    windows = ArrayField(models.BigIntegerField())
    amounts = ArrayField(models.BigIntegerField())
    micros = models.BigIntegerField(default=0)
    calls = models.SmallIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)  # neither read from the cache nor written to it
    cached_tokens = models.BigIntegerField(default=0)  # read from the cache
    cache_write_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)  # of those, the ones kept for an hour
    output_tokens = models.BigIntegerField(default=0)
    wall_seconds = models.BigIntegerField(default=0)
    cpu_seconds = models.BigIntegerField(default=0)
    memory_mb_seconds = models.BigIntegerField(default=0)
    storage_mb_seconds = models.BigIntegerField(default=0)
    network_bytes = models.BigIntegerField(default=0)
    label = models.CharField(max_length=100, blank=True)  # the model, or what else it was used for
    price_version = models.CharField(max_length=80, blank=True)
    actor = models.CharField(max_length=150, blank=True)  # who changed a limit
    created_at = models.DateTimeField()

    CONSUMPTION = ("usage", "assumed", "correction", "rerating")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.key

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.cached_tokens + self.cache_write_tokens + self.output_tokens

    @property
    def compute(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in sorted(COMPUTE)}


class PriceOverride(models.Model):
    """A page of the price book: what an admin says a model costs from then on. The latest counts; none is edited."""

    model = models.CharField(max_length=100)
    prices: "models.JSONField[dict[str, str], dict[str, str]]" = (
        models.JSONField()
    )  # units per million tokens
    withdrawn = models.BooleanField(default=False)  # from here on the list's price counts again
    note = models.CharField(max_length=200, blank=True)
    actor = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.model} (edition {self.pk})"


class Rerating(models.Model):
    """A past span was priced anew: from when to when, with which edition, and what it came to."""

    project = models.ForeignKey(Project, models.CASCADE, null=True, related_name="+")  # null: all
    since = models.DateTimeField()
    until = models.DateTimeField()
    price_version = models.CharField(max_length=80)
    entries = models.PositiveIntegerField(default=0)  # how many were corrected
    micros = models.BigIntegerField(default=0)  # by how much in all
    actor = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"rerating {self.pk}"


from budgets.breaker_models import Breaker as Breaker  # noqa: E402
from budgets.pool_models import Deal as Deal  # noqa: E402
from budgets.pool_models import Pool as Pool  # noqa: E402
from budgets.pool_models import PoolMember as PoolMember  # noqa: E402
from budgets.sharing_models import BudgetRequest as BudgetRequest  # noqa: E402
from budgets.sharing_models import Transfer as Transfer  # noqa: E402
