"""A machine as of one of its checkpoints, or now: how far its log, its books and its files were. Queries only."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max, QuerySet, Sum
from django.utils import timezone

from budgets.models import LedgerEntry
from checkpoints.models import Checkpoint
from checkpoints.reading import lines
from machines.models import LogLine, Machine
from projects.errors import Invalid


@dataclass(frozen=True, slots=True)
class Moment:
    """`checkpoint` is None for the present. Neighbours are handles of the machine's own, as they were taken."""

    machine: Machine
    checkpoint: Checkpoint | None
    at: datetime
    previous: str | None
    next: str | None
    log_until: int  # id of the last line that had been printed by then; 0 where there was none
    log_at: datetime | None  # when that was
    calls: int  # model calls in the ledger
    spent_micros: int


def at(machine: Machine, checkpoint: Checkpoint | None = None) -> Moment:
    """The machine when that checkpoint was taken. Raises `Invalid` for one that it did not leave itself."""
    if checkpoint is None:
        return _now(machine)
    if checkpoint.origin != machine.subject:
        raise Invalid(
            f"Checkpoint {checkpoint.handle} is not one of {machine.handle}'s own. "
            f"See: autovibe checkpoints {machine.handle}"
        )
    around = lines.neighbours(checkpoint)
    log_until, log_at = _log(machine, checkpoint.created_at)
    return Moment(
        machine=machine,
        checkpoint=checkpoint,
        at=checkpoint.created_at,
        previous=around.previous,
        next=around.next,
        log_until=log_until,
        log_at=log_at,
        calls=_calls(machine, checkpoint.ledger_entry or 0),
        spent_micros=checkpoint.spent_micros,
    )


def _now(machine: Machine) -> Moment:
    last = Checkpoint.objects.filter(origin=machine.subject).order_by("-number").first()
    now = timezone.now()
    log_until, log_at = _log(machine, now)
    used = _entries(machine).aggregate(calls=Sum("calls", default=0), micros=Sum("micros", default=0))
    return Moment(
        machine=machine,
        checkpoint=None,
        at=now,
        previous=last.handle if last else None,
        next=None,
        log_until=log_until,
        log_at=log_at,
        calls=used["calls"],
        spent_micros=used["micros"],
    )


def _log(machine: Machine, until: datetime) -> tuple[int, datetime | None]:
    """The last line printed by then, by the guest's clock: lines arrive a little later than they are printed."""
    found = LogLine.objects.filter(machine=machine, at__lte=until).aggregate(id=Max("id"), at=Max("at"))
    return found["id"] or 0, found["at"]


def _calls(machine: Machine, until: int) -> int:
    found = _entries(machine).filter(id__lte=until).aggregate(calls=Sum("calls", default=0))
    return int(found["calls"])


def _entries(machine: Machine) -> QuerySet[LedgerEntry]:
    since = machine.created_at.date().replace(day=1)
    return LedgerEntry.objects.filter(machine_id=machine.pk, month__gte=since)
