"""The balance of a budget in one period."""

from django.db import models
from django.db.models import F, Q

from budgets.models.budget import Budget
from budgets.resources import Resource

# The least that a call of any use may take: a prompt of 4,096 tokens, of which the provider's own instructions may
# be half, and an answer of 1,024. Even the cheapest current model may take a little more than a cent for that.
SMALL_CALL = {
    Resource.MONEY: 10_000,
    Resource.TOKENS: 5_120,
    Resource.INPUT_TOKENS: 4_096,
    Resource.CACHED_TOKENS: 4_096,
    Resource.OUTPUT_TOKENS: 1_024,
}


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
