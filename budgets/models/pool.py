"""Pools: money for a day that several projects share, who is in them, and how each day's was dealt out."""

from typing import Any

from django.db import models
from django.db.models import Q

from budgets.models.budget import Budget
from projects.models import Project


class Pool(models.Model):
    """So much money a day, shared among its projects by greediness. `sharing` deals it out."""

    name = models.SlugField(max_length=40, unique=True)
    amount = models.BigIntegerField()  # micro-units a day
    timezone = models.CharField(max_length=60, default="UTC")  # where its days begin
    min_percent = models.PositiveSmallIntegerField(default=0)  # of the pool, for whoever wants anything
    max_percent = models.PositiveSmallIntegerField(default=100)
    adjust = models.BooleanField(default=False)  # who achieves more with its money gets more
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount__gte=0, min_percent__lte=100, max_percent__gte=1, max_percent__lte=100),
                name="pool_is_sensible",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def subject(self) -> str:
        return f"pool:{self.pk}"


class PoolMember(models.Model):
    """A project in a pool. What one used that left today is still missing from that day's pool."""

    pool = models.ForeignKey(Pool, models.CASCADE, related_name="members")
    project = models.ForeignKey(Project, models.CASCADE, related_name="+")
    budget = models.ForeignKey(Budget, models.SET_NULL, null=True, related_name="+")  # once dealt
    left_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project"], condition=Q(left_at=None), name="project_is_in_one_pool"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.project} in {self.pool}"


class Deal(models.Model):
    """How a pool was dealt out on one day; the latest of a day counts. Appended, never edited."""

    pool = models.ForeignKey(Pool, models.CASCADE, related_name="deals")
    day = models.DateField()
    terms: "models.JSONField[dict[str, Any], dict[str, Any]]" = models.JSONField()  # what it was made from
    shares: "models.JSONField[list[dict[str, Any]], list[dict[str, Any]]]" = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["pool", "-id"], name="deal_by_pool")]

    def __str__(self) -> str:
        return f"{self.pool} on {self.day}"
