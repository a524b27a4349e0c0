"""What the hub sees to, whatever guests say: time limits, guests that are not what they should be, and leftovers."""

import contextlib
from datetime import timedelta

from django.db import transaction
from django.db.models import CharField, Exists, F, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat, Now
from django.utils import timezone

from events import actions as events
from guests import actions as guests
from guests import work
from guests.models import Guest
from guests.observe import Seen
from guests.states import State as GuestState
from machines import actions
from machines.models import Machine, MachineQuerySet
from machines.states import ENDED, LIVE, State
from operations.models import Operation
from projects.errors import Conflict

# The runner ends the agent at its limit and says so; after this much longer the hub does.
GRACE = timedelta(seconds=30)
# No sign of life from a guest that is on: shown, not acted upon.
SILENT_AFTER = timedelta(seconds=60)
# What Proxmox says of a guest that has just been started may still be of before.
SETTLING = timedelta(seconds=10)
# A guest that could not be switched off or destroyed is tried again this much later.
AGAIN_AFTER = timedelta(minutes=1)

DISK_FULL = (
    "Its disk is full, and Proxmox froze the guest. "
    "Branch from a checkpoint and tell the agent to use less space."
)
GONE = "Its guest is gone from Proxmox, and with it every checkpoint that has no backup."


def enforce() -> None:
    """End what is over its time, and settle what was lost."""
    overdue = Now() - F("wall_seconds") * Value(timedelta(seconds=1)) - Value(GRACE)
    for machine in _running().filter(run_started_at__lt=overdue):
        with contextlib.suppress(Conflict):  # somebody else was faster
            actions.end(machine, sentence="Its time was up.")
    for machine in _running().filter(guest__state=GuestState.GONE):
        with contextlib.suppress(Conflict):
            actions.lost(machine, GONE, gone=True)
    for machine in _running().filter(_seen_twice()):
        with contextlib.suppress(Conflict):
            _settle(machine)


def _running() -> MachineQuerySet:
    return Machine.objects.filter(state=State.RUNNING).select_related("project", "guest", "source", "present")


def _seen_twice() -> Q:
    """Guests whose power was reported the same at least twice, and after they were started."""
    return Q(
        guest__observed_at__gt=F("run_started_at") + Value(SETTLING),
        guest__power_since__lt=F("guest__observed_at"),
    )


def _settle(machine: Machine) -> None:
    if machine.guest.power == Guest.Power.STOPPED:
        actions.switched_off(machine)
    elif machine.guest.power == Guest.Power.IO_ERROR:
        actions.lost(machine, DISK_FULL, keep=True)
    elif machine.guest.power == Guest.Power.ABSENT and work.is_gone(machine.guest):
        actions.lost(machine, GONE, gone=True)


def tidy() -> None:
    """Switch off and destroy again what could not be: nothing runs on unseen, nothing is kept for nobody."""
    ended = Machine.objects.filter(
        guest=OuterRef("pk"), state__in=ENDED, ended_at__lt=timezone.now() - AGAIN_AFTER
    )
    on = {Guest.Power.RUNNING, Guest.Power.PAUSED, Guest.Power.IO_ERROR}
    for guest in _idle().filter(Exists(ended), power__in=on).exclude(state=GuestState.CONDEMNED):
        guests.halt(guest)
    for guest in _idle().filter(state=GuestState.CONDEMNED):
        guests.destroy(guest)


def _idle() -> QuerySet[Guest]:
    """Guests that nothing is being done to, nor was a moment ago."""
    recent = Q(finished_at=None) | Q(finished_at__gt=timezone.now() - AGAIN_AFTER)
    lock = Concat(Value("guest:"), Cast("pk", CharField()))
    busy = Operation.objects.filter(recent, lock=OuterRef("operation_lock"))
    return Guest.objects.filter(template=False).annotate(operation_lock=lock).filter(~Exists(busy))


def is_silent(machine: Machine) -> bool:
    """Whether a running machine has not been heard from."""
    return bool(
        machine.state == State.RUNNING
        and machine.heard_at
        and timezone.now() - machine.heard_at > SILENT_AFTER
    )


def ring_for(seen: Seen) -> None:
    """Have the pages of machines look again whose guests' power changed, and draw on where a minute was measured."""
    for machine in Machine.objects.filter(guest__in=seen.changed):
        events.ring("guest.power", subject=machine.subject, project_id=machine.project_id)
    if not seen.measured:
        return
    measured = Machine.objects.filter(guest__in=seen.measured, state__in=LIVE).only("pk")
    with transaction.atomic():  # so that hundreds are sent at once
        for machine in measured:
            events.ring_page("usage", subject=machine.subject)
