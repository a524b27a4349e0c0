"""Machines that were paused because a budget ended go on by themselves as soon as it has room for them again."""

import contextlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from budgets.models import Window
from budgets.models.breaker import State as BreakerState
from budgets.resources import Resource, funds
from machines import actions
from machines.actions.begin import record
from machines.limits.payer import payer_of
from machines.models import Machine
from machines.states import State
from projects.errors import Conflict

# So long after its start, what a machine was waiting for is held by itself.
STARTING = timedelta(seconds=60)
_TRIPPED = [BreakerState.OPEN, BreakerState.HALF_OPEN]


def resume_funded(now: datetime | None = None) -> int:
    """Resume machines whose budgets allow it, those that wait longest first; returns how many.

    Each needs room for what was refused, and no two the same room. Whatever made it does not matter: a raised limit, a
    transfer, a new period, or a hold that came back.
    """
    waiting = Machine.objects.filter(state=State.PAUSED, paused_for=Machine.PausedFor.BUDGET)
    waiting = waiting.exclude(awaiting={}).exclude(project__breaker__state__in=_TRIPPED)
    machines = list(waiting.select_related("project", "guest", "source", "present").order_by("paused_at"))
    if not machines:
        return 0
    starting = _starting(now or timezone.now())
    room = _Room([*machines, *starting])
    for machine in starting:
        room.take(machine)
    return sum(_resume(machine) for machine in machines if room.take(machine))


class _Room:
    """What is left of the budgets of these machines, while it is being given away."""

    def __init__(self, machines: Iterable[Machine]) -> None:
        holders = {holder for machine in machines for holder in payer_of(machine).holders}
        self._windows: dict[str, list[Window]] = {}
        for window in Window.objects.of(list(holders)).select_related("budget"):
            if not window.is_rate:  # one waits for the next minute, not for money
                self._windows.setdefault(window.holder, []).append(window)
        self._left = {window.pk: window.left for found in self._windows.values() for window in found}

    def take(self, machine: Machine) -> bool:
        """Set aside what the machine awaits; False when it is not there, in one of its budgets."""
        windows = [one for holder in payer_of(machine).holders for one in self._windows.get(holder, ())]
        concerned = [one for one in windows if one.resource in machine.awaiting]
        funded = Resource.MONEY not in machine.awaiting or any(
            one.resource == Resource.MONEY and funds(one.holder) for one in concerned
        )
        if not funded or any(self._left[one.pk] < machine.awaiting[one.resource] for one in concerned):
            return False
        for window in concerned:
            self._left[window.pk] -= machine.awaiting[window.resource]
        return True


def _starting(now: datetime) -> list[Machine]:
    """Machines that were resumed a moment ago, and have not held yet what they need."""
    recent = Q(state=State.RUNNING, run_started_at__gt=now - STARTING)
    return list(Machine.objects.filter(Q(state=State.RESUMING) | recent).exclude(awaiting={}))


@transaction.atomic
def _resume(machine: Machine) -> bool:
    with contextlib.suppress(Conflict):  # somebody else was faster
        actions.resume(machine, by=None)
        record(machine, "machine.refunded", awaiting=machine.awaiting)
        return True
    return False
