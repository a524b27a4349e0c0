"""Budgets: the rules of who may use how much. Machines stand above this room: it knows their ids only."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from budgets.prices import CURRENCY
from budgets.resources import Period, Resource
from projects.models import Project


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
    def currency(self) -> str:
        return self.project.currency if self.project else CURRENCY

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
