"""How limits move between projects: transfers that both owners agree to, and what was asked for."""

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from budgets.models.budget import Budget
from budgets.resources import Period, Resource
from projects.errors import Conflict
from projects.models import Project, User


class Move(models.Model):
    """What the two have in common: somebody decides, once."""

    decided_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True

    def decide(self, to: str, *, by: User | None, sentence: str, **also: Any) -> None:
        """From pending to its end; the only writer of `state`. Raises `Conflict` with `sentence` when it has one."""
        also |= {"state": to, "decided_by": by, "decided_at": timezone.now()}
        pending = type(self)._default_manager.filter(Q(state="pending"), pk=self.pk)
        if not pending.update(**also):
            raise Conflict(sentence)
        for name, value in also.items():
            setattr(self, name, value)


class Transfer(Move):
    """Part of one project's limit for another. It is made when an owner of each side has agreed."""

    class State(models.TextChoices):
        PENDING = "pending"
        MADE = "made"
        DECLINED = "declined"  # by the other side
        WITHDRAWN = "withdrawn"  # by the side that proposed it

    giver = models.ForeignKey(Project, models.CASCADE, related_name="transfers_out")
    taker = models.ForeignKey(Project, models.CASCADE, related_name="transfers_in")
    resource = models.CharField(max_length=20, choices=Resource)
    period = models.CharField(max_length=10, choices=Period, default=Period.TOTAL)
    amount = models.BigIntegerField()
    note = models.CharField(max_length=300, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    proposed_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    proposed_for = models.ForeignKey(Project, models.CASCADE, related_name="+")  # the side that has agreed
    key = models.CharField(max_length=100, null=True, unique=True)  # noqa: DJ001 - unique only where given

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["pending", "made", "declined", "withdrawn"]),
                name="transfer_state_is_known",
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="transfer_amount_is_positive"),
            models.CheckConstraint(condition=~Q(giver=F("taker")), name="transfer_has_two_sides"),
        ]

    def __str__(self) -> str:
        return f"transfer {self.pk} from {self.giver} to {self.taker}"

    @property
    def subject(self) -> str:
        return f"transfer:{self.pk}"

    @property
    def other(self) -> Project:
        """The side that has still to agree."""
        return self.taker if self.proposed_for_id == self.giver_id else self.giver


class BudgetRequest(Move):
    """Somebody asks for more: a member, or a machine that cannot go on without."""

    class State(models.TextChoices):
        PENDING = "pending"
        GRANTED = "granted"
        DENIED = "denied"
        WITHDRAWN = "withdrawn"

    project = models.ForeignKey(Project, models.CASCADE, related_name="budget_requests")
    budget = models.ForeignKey(Budget, models.CASCADE, related_name="requests")
    amount = models.BigIntegerField()  # more than the limit is now
    reason = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    asked_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    machine_id = models.UUIDField(null=True)  # the machine that asks, or that it is asked for
    automatic = models.BooleanField(default=False)  # because the machine was paused; void when it goes on
    granted = models.BigIntegerField(null=True)
    answer = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["pending", "granted", "denied", "withdrawn"]),
                name="budget_request_state_is_known",
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="budget_request_is_for_something"),
            models.UniqueConstraint(
                fields=["budget", "machine_id"],
                condition=Q(state="pending", machine_id__isnull=False),
                name="one_pending_request_per_machine_and_budget",
            ),
        ]

    def __str__(self) -> str:
        return f"request {self.pk} for {self.budget}"

    @property
    def subject(self) -> str:
        return f"budget_request:{self.pk}"
