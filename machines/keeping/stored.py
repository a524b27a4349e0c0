"""What keeping the checkpoints of a project, or of a machine, takes: contents, disks and backups. Reads only."""

from datetime import datetime
from typing import NamedTuple

from django.db.models import QuerySet, Sum
from django.db.models.functions import Coalesce

from checkpoints.contents import accounting
from checkpoints.models import Checkpoint
from checkpoints.states import State
from guests.models import Guest
from guests.states import State as GuestState
from machines.models import Machine
from projects.models import Project

SHOWN = 20  # machines in a list


class Stored(NamedTuple):
    """Bytes, and how many checkpoints they are of; see `checkpoints.contents.accounting.Figures`."""

    checkpoints: int
    logical_bytes: int
    unique_bytes: int
    stored_bytes: int
    lists_bytes: int
    dedup_ratio: float | None
    disk_bytes: int  # of guests that are there, as large as their disks may get
    backup_bytes: int


def of_project(project: Project) -> Stored:
    return _stored(project, Guest.objects.filter(project=project))


def of_machine(machine: Machine) -> Stored:
    return _stored(machine.project, Guest.objects.filter(pk=machine.guest_id), machine.subject)


def kept_bytes_of(project: Project, moment: datetime) -> int:
    """What is kept beside the guests, of the checkpoints and the backups that were there at that moment."""
    held = Checkpoint.objects.filter(project=project)
    later = held.filter(created_at__gt=moment).values_list("pk", flat=True)
    found = accounting.of_project(project, without=list(later))
    backups = held.annotate(since=Coalesce("durable_at", "created_at")).filter(since__lte=moment)
    total: int = backups.aggregate(total=Sum("backup_bytes", default=0))["total"]
    return found.stored_bytes + found.lists_bytes + total


def by_machine(project: Project) -> list[tuple[str, Stored]]:
    """By handle, the machines whose checkpoints store most that nobody else has, the most first."""
    own = Checkpoint.objects.filter(project=project, origin__startswith="machine:").values("origin")
    most = own.annotate(bytes=Sum("stored_bytes", default=0)).order_by("-bytes")[:SHOWN]
    keys = [one["origin"].partition(":")[2] for one in most]
    found = {
        str(key): machine for key, machine in Machine.objects.select_related("project").in_bulk(keys).items()
    }
    return [(found[key].handle, of_machine(found[key])) for key in keys if key in found]


def _stored(project: Project, guests: QuerySet[Guest], origin: str = "") -> Stored:
    held = Checkpoint.objects.filter(project=project)
    held = held.filter(origin=origin) if origin else held
    found = accounting.of_project(project, origin=origin)
    there = guests.filter(state=GuestState.PRESENT)
    return Stored(
        checkpoints=held.filter(state=State.CAPTURED).count(),
        logical_bytes=found.logical_bytes,
        unique_bytes=found.unique_bytes,
        stored_bytes=found.stored_bytes,
        lists_bytes=found.lists_bytes,
        dedup_ratio=found.dedup_ratio,
        disk_bytes=there.aggregate(total=Sum("disk_bytes", default=0))["total"],
        backup_bytes=held.aggregate(total=Sum("backup_bytes", default=0))["total"],
    )
