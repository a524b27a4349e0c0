"""What of a project's checkpoints goes, and what stays for whom; and the guests that nothing lives in any more.

Deciding is here, for only machines know what they need; the choice by rules is
`checkpoints.keeping.retention`, the deletion `checkpoints.keeping.pruning`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django_q.tasks import async_task

from checkpoints.contents import accounting
from checkpoints.keeping import pruning, retention
from checkpoints.keeping.retention import Retention
from checkpoints.models import Checkpoint
from checkpoints.states import State as CheckpointState
from events import actions as events
from events.models import Event
from guests import actions as guests
from guests.models import Guest
from guests.states import State as GuestState
from machines.keeping.needs import known_of, needs_of
from machines.models import Machine
from machines.states import ENDED
from projects.models import Project, User

EVERY = timedelta(days=1)
APPLIED = "retention.applied"
IN_QUESTION = (CheckpointState.CAPTURED, CheckpointState.BROKEN)


@dataclass(frozen=True, slots=True)
class Fate:
    """Whether a checkpoint stays, and why; and what is deleted with it that nothing else has."""

    id: UUID
    handle: str
    line: str  # "m12"
    stays: bool
    reason: str
    snapshot: bool  # it has one of its own
    stored_bytes: int
    backup_bytes: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of a project's checkpoints. `frees`: more than the sum, of what those that go share."""

    rules: Retention
    fates: list[Fate]
    frees_bytes: int
    pruning: int  # that are being deleted already

    @property
    def going(self) -> list[Fate]:
        return [one for one in self.fates if not one.stays]

    @property
    def frees_backup_bytes(self) -> int:
        return sum(one.backup_bytes for one in self.going)

    @property
    def snapshots(self) -> int:
        return sum(one.snapshot for one in self.going)


def preview(project: Project, rules: Retention | None = None) -> Preview:
    """What `prune` would do now, or would do by other rules."""
    rules = rules or pruning.rules_of(project)
    reasons = _reasons(project, rules)
    found = Checkpoint.objects.filter(project=project, state__in=IN_QUESTION).order_by("created_at")
    fates = [_fate(checkpoint, reasons) for checkpoint in found]
    going = [one.id for one in fates if not one.stays]
    before, after = (accounting.of_project(project, without=some).stored_bytes for some in ([], going))
    under_way = Checkpoint.objects.filter(project=project, state=CheckpointState.PRUNING).count()
    return Preview(rules, fates, before - after, under_way)


def prune(project: Project, *, by: User | None = None) -> int:
    """Have deleted what no rule keeps and nothing needs; returns how many checkpoints go from now on."""
    rules = pruning.rules_of(project)
    reasons = _reasons(project, rules)
    going = Checkpoint.objects.filter(project=project, state__in=IN_QUESTION).exclude(pk__in=reasons)
    guests_of = Guest.objects.filter(pk__in=going.values("guest"))
    gone = sum(_prune_in(guest, project, rules) for guest in guests_of)
    actor = by.username if by else events.SYSTEM
    events.record(
        APPLIED, subject=project.subject, project_id=project.id, by=actor, checkpoints=gone, rules=rules.plain
    )
    return gone


@transaction.atomic
def _prune_in(guest: Guest, project: Project, rules: Retention) -> int:
    """Decide again, while nobody can begin anything with this guest's checkpoints: see `checkpoints.actions.hold`."""
    Guest.objects.select_for_update(no_key=True).get(pk=guest.pk)
    locked = Checkpoint.objects.select_for_update(no_key=True).filter(guest=guest, state__in=IN_QUESTION)
    there = list(locked.order_by("pk"))
    reasons = _reasons(project, rules, guest)
    going = [checkpoint for checkpoint in there if checkpoint.id not in reasons]
    pruning.condemn(going)
    pruning.begin_next(guest)
    return len(going)


def _reasons(project: Project, rules: Retention, guest: Guest | None = None) -> Mapping[UUID, str]:
    needed = needs_of(project, guest)
    return retention.plan(known_of(project, guest), rules, timezone.now(), needed)


def _fate(checkpoint: Checkpoint, reasons: Mapping[UUID, str]) -> Fate:
    reason = reasons.get(checkpoint.id)
    broken = checkpoint.state == CheckpointState.BROKEN
    return Fate(
        id=checkpoint.id,
        handle=checkpoint.handle,
        line=checkpoint.handle.rpartition(".")[0],
        stays=reason is not None,
        reason=reason or ("what is left of a broken one" if broken else "no rule keeps it"),
        snapshot=not checkpoint.shares_id,
        stored_bytes=checkpoint.stored_bytes or 0,
        backup_bytes=checkpoint.backup_bytes,
    )


# --- what the hub sees to ---


def tend() -> None:
    """Go on with deletions, let empty guests go, and apply every project's rules once a day."""
    pruning.carry_on()
    for guest in _empty():
        _let_go(guest)
    if settings.CHECKPOINT_PRUNE:
        for project in _due(timezone.now()):
            async_task("machines.tasks.apply_retention", str(project.id), task_name=f"retention of {project}")


def apply(project: Project) -> None:
    """Prune, unless that was done today: the queue may hold it more than once."""
    if any(one.pk == project.pk for one in _due(timezone.now())):
        prune(project)


def _due(now: datetime) -> Iterator[Project]:
    done = Event.objects.filter(kind=APPLIED, at__gt=now - EVERY)
    lately = set(done.values_list("project_id", flat=True))
    held = Checkpoint.objects.filter(project=OuterRef("pk")).exclude(state=CheckpointState.PRUNED)
    for project in Project.objects.filter(Exists(held.exclude(kind=Checkpoint.Kind.GENESIS))):
        if project.pk not in lately:
            yield project


def _empty() -> list[Guest]:
    """Guests of machines that have ended, all of whose checkpoints were deleted."""
    ended = Machine.objects.filter(guest=OuterRef("pk"), state__in=ENDED)
    left = Checkpoint.objects.filter(guest=OuterRef("pk"))
    gone = left.filter(state=CheckpointState.PRUNED)
    there = Guest.objects.filter(template=False, state=GuestState.PRESENT)
    return list(
        there.filter(Exists(ended), Exists(gone), ~Exists(left.exclude(state=CheckpointState.PRUNED)))
    )


@transaction.atomic
def _let_go(guest: Guest) -> None:
    Guest.objects.select_for_update(no_key=True).get(pk=guest.pk)
    if guest in _empty():
        guests.condemn(guest)
