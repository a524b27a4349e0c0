"""Carrying retention out: a checkpoint's snapshot, backup and list of files go, its record stays in the tree.

Which ones go is decided by `machines.keeping.pruning`, for only machines know what they need.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import CharField, Exists, OuterRef, Value
from django.db.models.functions import Cast, Concat
from django.utils import timezone

from checkpoints.keeping import retention
from checkpoints.keeping.retention import Retention
from checkpoints.models import Checkpoint, Rules
from checkpoints.states import State
from checkpoints.telling import record
from events import actions as events
from guests import locks
from guests.models import Guest
from guests.states import State as GuestState
from operations import actions as operations
from operations.engine import Outcome, Plan, Step
from operations.models import Operation
from operations.slots import Slots
from projects.models import Project, User
from proxmox import errors
from proxmox.connect import driver

VERB = "prune"
# Snapshots and backups that are deleted at the same time on one node; machines want it for their checkpoints.
AT_ONCE = 2
# A deletion that failed is tried again this much later.
AGAIN_AFTER = timedelta(minutes=15)
NOT_DELETED = "It could not be deleted yet: "


def rules_of(project: Project) -> Retention:
    """How long the project's checkpoints are kept: what it says itself, else the settings."""
    own = Rules.objects.filter(project=project).first()
    return retention.parse(own.retention if own else {}, defaults())


def defaults() -> Retention:
    return retention.parse(settings.CHECKPOINT_RETENTION)


@transaction.atomic
def set_rules(project: Project, values: Mapping[str, Any], *, by: User) -> None:
    """How long the project's checkpoints are kept from now on; `{}` for as the settings say. Raises `Invalid`."""
    retention.parse(values)
    own = Rules.objects.filter(project=project).first()
    Rules.objects.update_or_create(project=project, defaults={"retention": dict(values)})
    events.record(
        "retention.set",
        subject=project.subject,
        project_id=project.id,
        by=by.username,
        before={"rules": own.retention if own else {}},
        rules=dict(values),
    )


def condemn(going: Iterable[Checkpoint]) -> None:
    """They go from now on. In a transaction that has locked their rows and looked whether anything needs them."""
    for checkpoint in going:
        checkpoint.move(State.PRUNING)
        record("checkpoint.pruning", checkpoint)


def carry_on() -> int:
    """Begin what is to be deleted next; returns how many deletions were begun."""
    busy = set(Operation.objects.active().filter(verb=VERB).values_list("lock", flat=True))
    guests = Guest.objects.filter(checkpoint__state=State.PRUNING).distinct()
    return sum(begin_next(guest) for guest in guests if guest.subject not in busy)


@transaction.atomic
def begin_next(guest: Guest) -> bool:
    """Begin the next deletion in this guest, unless one is under way; whether there was any to begin.

    It is one at a time, so that checkpoints which its machine takes come in between.
    """
    Guest.objects.select_for_update(no_key=True).get(pk=guest.pk)
    if Operation.objects.active().filter(verb=VERB, lock=guest.subject).exists():
        return False
    going = Checkpoint.objects.filter(~_failed_lately(), guest=guest, state=State.PRUNING)
    checkpoint = going.select_related("project").order_by("number").first()
    if checkpoint is None:
        return False
    operations.begin(
        VERB,
        subject=checkpoint.subject,
        project=checkpoint.project,
        lock=guest.subject,
        task="checkpoints.tasks.prune",
        by=None,
        checkpoint=str(checkpoint.id),
    )
    return True


def _failed_lately() -> Exists:
    """Whether a checkpoint could not be deleted a moment ago."""
    subject = Concat(Value("checkpoint:"), Cast(OuterRef("pk"), CharField()))
    tried = Operation.objects.filter(subject=subject, verb=VERB, finished_at__gt=timezone.now() - AGAIN_AFTER)
    return Exists(tried.exclude(error=""))


# --- what a worker does ---


def _load(operation: Operation) -> Checkpoint:
    found = Checkpoint.objects.select_related("guest", "project")
    return found.get(pk=operation.arguments["checkpoint"])


def _delete_snapshot(checkpoint: Checkpoint) -> Outcome:
    if checkpoint.shares_id or not checkpoint.snapshot or not _exists(checkpoint.guest):
        return None
    staying = (State.REQUESTED, State.CAPTURED)
    if sharer := checkpoint.sharers.filter(state__in=staying).first():
        raise errors.Refused(f"Checkpoint {sharer.handle} shares its state.")
    vm = checkpoint.guest.vm
    try:
        there = checkpoint.snapshot in {one.name for one in driver().snapshots(vm)}
        return driver().delete_snapshot(vm, checkpoint.snapshot) if there else None
    except errors.Missing:  # it went between the look and the word
        return None


def _exists(guest: Guest) -> bool:
    """A guest that is destroyed, or about to be, takes its snapshots with it."""
    return guest.state == GuestState.PRESENT


def _delete_backup(checkpoint: Checkpoint) -> Outcome:
    if not checkpoint.backup:
        return None
    return driver().delete_volume(checkpoint.guest.node, checkpoint.backup)


def _slots(checkpoint: Checkpoint) -> Slots:
    return {f"deletions:{checkpoint.guest.node}": AT_ONCE}


def _pruned(checkpoint: Checkpoint) -> None:
    checkpoint.move(
        State.PRUNED,
        pruned_at=timezone.now(),
        error=_why_broken(checkpoint),
        manifest=None,
        backup="",
        backup_bytes=0,
        durable_at=None,
        unique_bytes=0,
        stored_bytes=0,
    )
    record("checkpoint.pruned", checkpoint)
    begin_next(checkpoint.guest)


def _failed(checkpoint: Checkpoint, sentence: str) -> None:
    """It stays as one that is to go, and says why it is still there."""
    error = f"{_why_broken(checkpoint)} {NOT_DELETED}{sentence}".strip()
    Checkpoint.objects.filter(pk=checkpoint.pk).update(error=error)
    record("checkpoint.not_pruned", checkpoint, sentence=sentence)


def _why_broken(checkpoint: Checkpoint) -> str:
    return checkpoint.error.partition(NOT_DELETED)[0].strip()


PRUNE: Plan[Checkpoint] = Plan(
    load=_load,
    steps=(
        Step("snapshot", "Deleting the snapshot", _delete_snapshot, slots=_slots),
        Step("backup", "Deleting the backup", _delete_backup, slots=_slots),
    ),
    succeed=_pruned,
    fail=_failed,
    blocked=lambda checkpoint: locks.blocked(checkpoint.guest),
)
