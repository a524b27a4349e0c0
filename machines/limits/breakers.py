"""What an open circuit breaker means for a project's machines: they pause, one tries, and all go on when it closes.

When it opens and closes, `budgets.breaker` says. What is to be done is read from the database, so it may be repeated.
"""

import contextlib
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from budgets import breaker
from budgets.models import Breaker
from budgets.models.breaker import State as BreakerState
from machines import actions
from machines.models import Machine, MachineQuerySet
from machines.states import State
from projects.errors import Conflict


def mind(now: datetime | None = None) -> None:
    """See how fast projects spend, and stop, try and let go accordingly."""
    now = now or timezone.now()
    breaker.check(now)
    for cooled in breaker.cooled_down(now).select_related("project"):
        probe = _held_back().filter(project=cooled.project).first()
        breaker.try_with(cooled, probe.id if probe else None, now)
    tripped = list(Breaker.objects.exclude(state=BreakerState.CLOSED))
    for one in tripped:
        _stop(one)
    waiting = _held_back().exclude(project__in=[one.project_id for one in tripped])
    for machine in waiting | _held_back().filter(pk__in=[one.probe for one in tripped if one.probe]):
        _let_go(machine)


def _held_back() -> MachineQuerySet:
    """The one that has waited longest comes first."""
    found = Machine.objects.filter(state=State.PAUSED, paused_for=Machine.PausedFor.BREAKER)
    return found.select_related("project", "guest", "source", "present").order_by("paused_at", "number")


def _stop(tripped: Breaker) -> None:
    running = Machine.objects.filter(project=tripped.project_id, state=State.RUNNING)
    for machine in running.select_related("project", "guest", "source", "present"):
        if machine.id != tripped.probe:
            actions.held_back(machine, tripped.sentence)


@transaction.atomic
def _let_go(machine: Machine) -> None:
    with contextlib.suppress(Conflict):  # somebody else was faster
        actions.resume(machine, by=None)
