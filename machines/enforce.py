"""What the hub sees to, whatever guests say: time limits, and guests that are no longer what they should be."""

import contextlib
from datetime import timedelta

from django.db.models import F, Value
from django.db.models.functions import Now
from django.utils import timezone

from events import actions as events
from guests.models import Guest
from machines import actions
from machines.models import Machine
from machines.states import State
from projects.errors import Conflict

# The runner ends the agent at its limit and says so; after this much longer the hub does.
GRACE = timedelta(seconds=30)
# No sign of life from a guest that is on: shown, not acted upon.
SILENT_AFTER = timedelta(seconds=60)

GONE_WRONG = {
    Guest.Power.STOPPED: "Its guest was switched off by somebody else. Roll back to its last checkpoint to go on.",
    Guest.Power.ABSENT: "Its guest is gone from Proxmox. Its checkpoints went with it, unless they were exported.",
    Guest.Power.IO_ERROR: "Its disk is full, and Proxmox froze the guest. Roll back, or branch from an earlier "
    "checkpoint and tell the agent to use less space.",
}


def enforce() -> None:
    """End what is over its time, and settle what was lost."""
    running = Machine.objects.filter(state=State.RUNNING).select_related(
        "project", "guest", "source", "present"
    )
    overdue = Now() - F("wall_seconds") * Value(timedelta(seconds=1)) - Value(GRACE)
    for machine in running.filter(run_started_at__lt=overdue):
        with contextlib.suppress(Conflict):  # somebody else was faster
            actions.end(machine, sentence="Its time was up.")
    for machine in running.filter(guest__power__in=GONE_WRONG, guest__observed_at__gt=F("run_started_at")):
        with contextlib.suppress(Conflict):
            actions.lost(machine, GONE_WRONG[Guest.Power(machine.guest.power)])


def is_silent(machine: Machine) -> bool:
    """Whether a running machine has not been heard from."""
    return bool(
        machine.state == State.RUNNING
        and machine.heard_at
        and timezone.now() - machine.heard_at > SILENT_AFTER
    )


def ring_for(guests: list[Guest]) -> None:
    """Have the pages of machines look again whose guests' power changed."""
    for machine in Machine.objects.filter(guest__in=guests):
        events.ring("guest.power", subject=machine.subject, project_id=machine.project_id)
