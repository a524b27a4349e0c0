"""The circuit breaker of a project: its settings, and whether it has tripped. `budgets.breaker` is the only writer."""

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from projects.models import Project

FACTOR = 4.0


class State(models.TextChoices):
    CLOSED = "closed"  # all is well
    OPEN = "open"  # spent too fast: nothing runs until the cool-down is over
    HALF_OPEN = "half_open", "half open"  # one machine runs, on probation


MOVES: dict[State, frozenset[State]] = {
    State.CLOSED: frozenset({State.OPEN}),
    State.OPEN: frozenset({State.HALF_OPEN, State.CLOSED}),
    State.HALF_OPEN: frozenset({State.CLOSED, State.OPEN}),
}


class Breaker(models.Model):
    """One per project that ever tripped or was set otherwise; a project without one has the usual settings."""

    project = models.OneToOneField(Project, models.CASCADE, primary_key=True, related_name="breaker")
    enabled = models.BooleanField(default=True)
    factor = models.FloatField(default=FACTOR)  # how many times its own normal is too much

    state = models.CharField(max_length=10, choices=State, default=State.CLOSED)
    since = models.DateTimeField(default=timezone.now)  # of this state; what was spent before does not count
    until = models.DateTimeField(null=True)  # open: the end of the cool-down; half open: of the probation
    cooldown_seconds = models.PositiveIntegerField(default=0)  # of the last time it opened
    probe = models.UUIDField(null=True)  # half open: the machine that may run
    sentence = models.TextField(blank=True)  # why it opened

    # What is normal, in micros a minute, and when that was reckoned; null: there is too little to say.
    normal = models.BigIntegerField(null=True)
    normal_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(state__in=State.values), name="breaker_state_is_known"),
            models.CheckConstraint(condition=Q(factor__gt=1), name="breaker_factor_is_sensible"),
        ]

    def __str__(self) -> str:
        return f"breaker of {self.project_id} ({self.state})"

    def move(self, to: State, **also: Any) -> bool:
        """Change state along the table; the only writer of it. False when somebody was faster."""
        sources = [state for state, targets in MOVES.items() if to in targets]
        also = {"since": timezone.now(), **also}
        found = Breaker.objects.filter(pk=self.pk, state=self.state, state__in=sources, since=self.since)
        if not found.update(state=to, **also):
            return False
        self.state = to
        for name, value in also.items():
            setattr(self, name, value)
        return True
