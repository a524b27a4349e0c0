"""The schedule of proofs and exports: what is proven next in the background, within a budget of its own."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from checkpoints.models import Checkpoint, CheckpointQuerySet, Verification
from checkpoints.states import Depth, State, Verdict
from checkpoints.trust import proofs
from guests.states import State as GuestState
from machines import actions
from machines.keeping.policies import policy_of
from machines.models import Machine
from machines.types import UnknownType
from operations import actions as operations
from operations.models import Operation, Status
from projects.errors import Refusal

# Metadata is cheap, but not so cheap that every new checkpoint had its guest's lists read again at once.
SETTLED = timedelta(hours=1)
SURVEYED_AT_ONCE = 200
# A proof or export that came to nothing is not tried again before.
AGAIN_AFTER = timedelta(days=1)
# Of a machine that runs, the newest state is proven as often as this.
NEWEST_AGAIN_AFTER = timedelta(hours=1)
EXPORTS_AT_ONCE = 2
LOOKED_AT, COUNTED_AT_ONCE = 50, 200  # candidates of one kind in a round
DEEP = (Depth.CONTENT, Depth.BOOT)

_MILESTONE = Q(kind__in=Checkpoint.MILESTONES) | ~Q(name="")
_RELATED = ("project", "guest", "shares__guest", "shares__manifest", "manifest")


def tend(now: datetime | None = None) -> None:
    """Begin what is to be proven and exported next; the hub calls it every minute."""
    now = now or timezone.now()
    if settings.CHECKPOINT_PROOFS_AT_ONCE:
        _survey(now)
        _prove(now)
    if settings.PROXMOX_BACKUP_STORAGE:
        _export(now)


# --- metadata ---


def _survey(now: datetime) -> None:
    """One guest at a time: the one with the checkpoint that was not looked at for the longest."""
    if Operation.objects.active().filter(verb="survey").exists():
        return
    due = _captured().filter(_due(now), captured_at__lt=now - SETTLED, guest__state=GuestState.PRESENT)
    due = due.filter(~_tried(now, depths=proofs.DEPTHS)).order_by(
        F("proven_at").asc(nulls_first=True), "captured_at"
    )
    if first := due.first():
        some = [
            str(pk) for pk in due.filter(guest=first.guest).values_list("pk", flat=True)[:SURVEYED_AT_ONCE]
        ]
        _begin_survey(first, some)


@transaction.atomic
def _begin_survey(first: Checkpoint, some: list[str]) -> None:
    operations.begin(
        "survey",
        subject=first.guest.subject,
        project=first.project,
        lock=f"survey:{first.guest_id}",
        task="machines.tasks.survey",
        by=None,
        checkpoints=some,
    )


# --- content and boot ---


def _prove(now: datetime) -> None:
    depth = Depth(settings.CHECKPOINT_PROOF_DEPTH)
    free = settings.CHECKPOINT_PROOFS_AT_ONCE - proofs.under_way().count()
    if depth == Depth.METADATA or free <= 0:
        return
    for checkpoint in candidates(depth, now):
        with suppress(Refusal):  # its project has used up its time, or somebody was faster
            if actions.verify(checkpoint, depth, by=None).verdict == Verdict.REQUESTED:
                free -= 1
        if not free:
            return


def candidates(depth: Depth, now: datetime) -> Iterator[Checkpoint]:
    """What is to be proven to that depth, the most important first."""
    never = _captured().exclude(proven_depth__in=[one for one in Depth if proofs.reaches(one, depth)])
    fresh = never.filter(~_tried(now, depths=DEEP))
    yield from fresh.filter(_MILESTONE).order_by("-captured_at")[:LOOKED_AT]
    yield from _newest(fresh, now)
    yield from fresh.filter(pinned=True).order_by("-captured_at")[:LOOKED_AT]
    cared_for = _captured().filter(_MILESTONE | Q(pinned=True), ~_tried(now, depths=DEEP))
    yield from cared_for.filter(_due(now)).order_by("proven_at")[:LOOKED_AT]


def _newest(fresh: CheckpointQuerySet, now: datetime) -> Iterator[Checkpoint]:
    """The last of each machine that is there, unless one of its was proven a while ago only."""
    for machine in Machine.objects.live():
        lately = Checkpoint.objects.of(machine.subject).filter(
            proven_at__gt=now - NEWEST_AGAIN_AFTER, proven_depth__in=DEEP
        )
        last = _captured().of(machine.subject).last()
        if last and not lately.exists():
            yield from fresh.filter(pk=last.pk)


# --- exports ---


def _export(now: datetime) -> None:
    free = EXPORTS_AT_ONCE - Operation.objects.active().filter(verb="export").count()
    for holder in wanted_durable(now):
        if free <= 0:
            return
        with suppress(Refusal):
            actions.export(holder, by=None)
            free -= 1


def wanted_durable(now: datetime) -> list[Checkpoint]:
    """What the policies want to have a backup of and which has none, the newest first."""
    without = _captured().filter(Q(shares=None, backup="") | Q(shares__backup="")).exclude(snapshot="")
    found = [*without.filter(_MILESTONE).order_by("-captured_at")[:LOOKED_AT]]
    found += without.exclude(_MILESTONE).order_by("-captured_at")[:COUNTED_AT_ONCE]
    holders = {one.holder.pk: one.holder for one in found if _is_wanted_durable(one)}
    tried = _exported(list(holders), now)
    return [holder for key, holder in holders.items() if str(key) not in tried]


def _is_wanted_durable(checkpoint: Checkpoint) -> bool:
    machine = actions.machine_of(checkpoint)
    try:
        wanted = policy_of(machine).durable if machine else "none"
    except UnknownType:
        return False
    if wanted == "none":
        return False
    if wanted == "final":
        return checkpoint.kind == Checkpoint.Kind.FINAL
    return checkpoint.milestone or (isinstance(wanted, int) and checkpoint.number % wanted == 0)


def _exported(keys: list[UUID], now: datetime) -> set[str]:
    """Those that were: a backup that somebody has deleted since is not made again unasked."""
    exports = Operation.objects.filter(verb="export", arguments__checkpoint__in=[str(key) for key in keys])
    done = exports.filter(Q(status=Status.SUCCEEDED) | Q(created_at__gt=now - AGAIN_AFTER))
    return set(done.values_list("arguments__checkpoint", flat=True))


# --- queries ---


def _captured() -> CheckpointQuerySet:
    return Checkpoint.objects.filter(state=State.CAPTURED).select_related(*_RELATED)


def _due(now: datetime) -> Q:
    """Never proven, or so long ago that it is to be done again."""
    return Q(proven_at=None) | Q(proven_at__lt=now - timedelta(days=settings.CHECKPOINT_PROOF_DAYS))


def _tried(now: datetime, *, depths: tuple[Depth, ...]) -> Exists:
    lately = Verification.objects.filter(checkpoint=OuterRef("pk"), asked_at__gt=now - AGAIN_AFTER)
    return Exists(lately.filter(depth__in=depths))
