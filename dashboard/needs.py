"""Which machines wait for a person, and why."""

from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from machines.enforce import SILENT_AFTER
from machines.models import Machine, MachineQuerySet
from machines.states import State

# A failure that nobody acted upon for a day is history; it stays in the list.
FAILURE_FRESH_FOR = timedelta(days=1)


def attention(machines: MachineQuerySet) -> MachineQuerySet:
    """Those that failed lately, were paused by a limit or a loss of power, or are silent; the longest waiting first."""
    now = timezone.now()
    return machines.filter(
        Q(state=State.FAILED, ended_at__gt=now - FAILURE_FRESH_FOR)
        | Q(state=State.PAUSED, paused_for__in=[Machine.PausedFor.BUDGET, Machine.PausedFor.GUEST])
        | Q(state=State.RUNNING, heard_at__lt=now - SILENT_AFTER)
    ).order_by(Coalesce("ended_at", "heard_at", "created_at"))


def why(machine: Machine) -> str:
    """The sentence beside it in the list."""
    if machine.state == State.RUNNING:
        return "It has not been heard from, although it should be running. Look at its log, or roll it back."
    return machine.sentence or "It failed without saying why. Its log and events may tell."
