"""What storage costs after machines, and beside them: entered into each project's ledger by the hour.

A running machine's disk is in its leases (`machines.limits.compute`). Here is what nobody leases: the disks of
machines that have ended, and what is kept of checkpoints, contents and backups. An hour is entered once it is over,
and once, by its key; hours that no hub was there for are made up for, as far as `BACK` reaches, with what is left of
what was there then. Nothing is deleted because a limit is used up: the owner is told, and what a prune would free.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django_q.tasks import async_task

from budgets import actions as budgets
from budgets.models import Reservation
from budgets.resources import WHOLE, Payer, Resource
from checkpoints.models import Checkpoint
from events import actions as events
from events.models import Event
from guests.models import Guest
from guests.states import State as GuestState
from machines.keeping import pruning, stored
from machines.models import Machine
from machines.states import ENDED
from projects.models import Project

HOUR = timedelta(hours=1)
# Holds are forgotten after a month (`budgets.ledger.KEPT`); within that, no hour is entered twice.
BACK = timedelta(days=2)
LABEL = "kept"
USED_UP = "storage.used_up"


class Charge(NamedTuple):
    """Something that was kept for part of an hour; `size`: asked for only where that is not entered yet."""

    key: str
    seconds: int
    size: Callable[[], int]

    @property
    def megabyte_seconds(self) -> int:
        return self.size() * self.seconds // WHOLE


# --- what the hub sees to ---


_begun_to: datetime | None = None  # by this process


def tend(now: datetime | None = None) -> bool:
    """Once an hour: have workers enter what was kept, and sweep what nothing has any more. Whether it was time."""
    global _begun_to
    until = _hour_of(now or timezone.now())
    if until == _begun_to:
        return False
    for project in Project.objects.filter(Exists(Checkpoint.objects.filter(project=OuterRef("pk")))):
        async_task("machines.tasks.enter_storage", str(project.id), task_name=f"storage of {project}")
    async_task("checkpoints.tasks.sweep", task_name="sweep contents")
    _begun_to = until
    return True


def enter(project: Project, now: datetime | None = None) -> int:
    """Enter the project's hours that are over and not in its ledger yet; returns how many entries were made."""
    until = _hour_of(now or timezone.now())
    charges = [one for one in _charges(project, until) if one.seconds]
    known = set(
        Reservation.objects.filter(key__in=[one.key for one in charges]).values_list("key", flat=True)
    )
    fresh = {one.key: one.megabyte_seconds for one in charges if one.key not in known}
    fresh = {key: used for key, used in fresh.items() if used}
    payer = Payer(project.id, hub=project.hub)
    for key, used in fresh.items():
        _enter(key, used, payer)
    if fresh and budgets.left(payer, Resource.STORAGE) == 0:
        _tell_used_up(project, payer)
    return len(fresh)


@transaction.atomic
def _enter(key: str, megabyte_seconds: int, payer: Payer) -> None:
    """It was used already: nothing is held, nor refused, and what goes beyond a limit is its overrun."""
    nothing = {Resource.STORAGE.value: (0, 0)}
    held = budgets.reserve(
        key,
        payer=payer,
        needs=nothing,
        wanted=0,
        minimum=-1,
        label=LABEL,
        seconds=HOUR.total_seconds(),
    )
    assert isinstance(held, budgets.Grant)
    budgets.settle_figures(held.reservation_id, {Resource.STORAGE.value: megabyte_seconds})


def _charges(project: Project, until: datetime) -> Iterator[Charge]:
    hours = [until - HOUR * back for back in range(BACK // HOUR, 0, -1)]
    guests = Guest.objects.filter(project=project, state=GuestState.PRESENT, template=False)
    ended = Machine.objects.filter(guest__in=guests, state__in=ENDED).select_related("guest")
    for machine in ended.exclude(ended_at=None):
        for hour in hours:
            disk = partial(int, machine.guest.disk_bytes)
            yield _charge(machine.guest.subject, hour, machine.ended_at, disk)
    first = Checkpoint.objects.filter(project=project).order_by("created_at").first()
    if first:
        for hour in hours:
            held = partial(stored.kept_bytes_of, project, hour + HOUR)
            yield _charge(f"project:{project.id}", hour, first.created_at, held)


def _charge(what: str, hour: datetime, since: datetime | None, size: Callable[[], int]) -> Charge:
    assert since
    seconds = max((hour + HOUR - max(hour, since)) // timedelta(seconds=1), 0)
    return Charge(f"kept:{what}:{hour:%Y%m%d%H}", seconds, size)


def _hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _tell_used_up(project: Project, payer: Payer) -> None:
    """Once for each limit that is used up: nothing is deleted, and here is what could be."""
    used_up = [one for one in budgets.applicable(payer) if one.resource == Resource.STORAGE and one.left <= 0]
    told = Event.objects.filter(
        kind=USED_UP, subject=project.subject, data__window__in=[one.pk for one in used_up]
    )
    known = {event.data["window"] for event in told}
    for window in (one for one in used_up if one.pk not in known):
        found = pruning.preview(project)
        sentence = (
            f"{window.budget.scope} has used its storage up. Nothing is deleted for that: retention keeps "
            f"{len(found.fates) - len(found.going)} checkpoints, and {len(found.going)} could go now. "
            f"See: autovibe project retention {project.slug}"
        )
        events.record(
            USED_UP, subject=project.subject, project_id=project.id, sentence=sentence, window=window.pk
        )
