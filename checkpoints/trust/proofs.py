"""What is claimed of checkpoints: asking for a proof, and the verdict that comes of it. The proving is a worker's.

A verdict and what it claims are written in one transaction, from evidence that was gathered for that very proof.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from checkpoints.contents import manifests, parts
from checkpoints.contents.captures import is_history
from checkpoints.contents.integrity import Books
from checkpoints.models import Checkpoint, Verification
from checkpoints.states import Depth, State, Verdict
from checkpoints.telling import fail, record
from guests.models import Guest
from operations.models import Operation
from projects.errors import Conflict
from projects.models import Project, User

DAY = timedelta(days=1)
WAITING_MAX = 5  # of a project, with a scratch guest each
BACKUP = "backup"  # evidence["of"]: what was proven is the backup, not the snapshot
AGREE = "Row, snapshot and list of files agree."
NO_LIST = (
    "It has no list of files to compare with: its guest was off or frozen when it was taken. "
    "A boot drill shows whether it can be started."
)
DEPTHS = (Depth.METADATA, Depth.CONTENT, Depth.BOOT)


@dataclass(frozen=True, slots=True)
class Fault:
    """What a proof has found. `shared`: it is in the snapshot, or the backup, that others live in, too."""

    sentence: str
    shared: bool


def reaches(depth: str, wanted: str) -> bool:
    """Whether a proof of this depth is one of that depth, too; "" is none."""
    return bool(depth) and DEPTHS.index(Depth(depth)) >= DEPTHS.index(Depth(wanted))


def request(
    checkpoint: Checkpoint,
    depth: Depth,
    *,
    by: User | None,
    scratch: Guest | None,
    evidence: Mapping[str, Any] | None = None,
) -> Verification:
    """The row of a proof to be carried out. Raises `Conflict` while another one is under way.

    In the caller's transaction, which also begins the operation.
    """
    Checkpoint.objects.select_for_update(no_key=True).get(pk=checkpoint.pk)
    if in_use(checkpoint):
        raise Conflict(f"Checkpoint {checkpoint.handle} is being verified already.")
    return Verification.objects.create(
        checkpoint=checkpoint, depth=depth, asked_by=by, scratch=scratch, evidence=dict(evidence or {})
    )


def in_use(checkpoint: Checkpoint) -> bool:
    """Whether a proof of it is under way, which may need its snapshot or backup."""
    return Verification.objects.filter(checkpoint=checkpoint, verdict=Verdict.REQUESTED).exists()


def seconds_used(project: Project, now: datetime | None = None) -> float:
    """For how long scratch guests were up for the project's proofs in the last 24 hours."""
    since = (now or timezone.now()) - DAY
    ended = Verification.objects.filter(checkpoint__project=project, ended_at__gt=since)
    return float(ended.aggregate(total=Sum("seconds", default=0.0))["total"])


def seconds_left(project: Project, now: datetime | None = None) -> float:
    """What is left of CHECKPOINT_PROOF_SECONDS_A_DAY."""
    return max(settings.CHECKPOINT_PROOF_SECONDS_A_DAY - seconds_used(project, now), 0.0)


def require_time(project: Project) -> None:
    """Raises `Conflict` when the project's scratch guests were up for as long as they may be in a day."""
    if seconds_left(project) <= 0:
        raise Conflict(
            f"The project's scratch guests were up for {settings.CHECKPOINT_PROOF_SECONDS_A_DAY:,} seconds in the last "
            "24 hours, which is all that proofs get. Verify its metadata, or wait."
        )


def require_room(project: Project) -> None:
    """Raises `Conflict` when so many of the project's proofs wait for a scratch guest that others would not get one."""
    waiting = Verification.objects.filter(checkpoint__project=project, verdict=Verdict.REQUESTED)
    if waiting.exclude(scratch=None).count() >= WAITING_MAX:
        raise Conflict(
            f"{WAITING_MAX} proofs of the project are waiting already. Verify its metadata, or wait for one to end."
        )


def under_way() -> QuerySet[Verification]:
    """Those that have a scratch guest, or wait for its turn; without what waits for an operator, maybe for days."""
    stuck = Operation.objects.needing_operator().filter(verb="verify")
    keys = [UUID(key) for key in stuck.values_list("arguments__verification", flat=True)]
    return Verification.objects.filter(verdict=Verdict.REQUESTED).exclude(scratch=None).exclude(pk__in=keys)


# --- what our own rows say ---


def fault_in_rows(checkpoint: Checkpoint, books: Books) -> str:
    """What is wrong with its list of files, or with what it needs beside its snapshot; "" when all is sound."""
    if checkpoint.manifest is None:
        return ""
    return books.fault(checkpoint.manifest) or _fault_in_sharing(checkpoint)


def _fault_in_sharing(checkpoint: Checkpoint) -> str:
    """One that shares a snapshot needs from our own store what the snapshot has not: nothing else can give it."""
    if checkpoint.shares is None:
        return ""
    if checkpoint.shares.manifest is None:
        return f"{checkpoint.shares.handle}, whose snapshot it shares, has no list of files."
    sides = parts.unshared(checkpoint.shares.manifest, checkpoint.manifest)
    held, own = (
        {entry["path"]: manifests.identity(entry) for entry in side if not is_history(entry)}
        for side in sides
    )
    if held != own:
        return f"{sorted(held.items() ^ own.items())[0][0]} is not as in the snapshot that it shares."
    try:
        for difference in manifests.overlaid(checkpoint):
            manifests.content_of(difference.after or {})
    except Conflict as damage:
        return str(damage)
    return ""


def kin(checkpoint: Checkpoint) -> QuerySet[Checkpoint]:
    """All that live in the same snapshot and can be returned to, the checkpoint among them."""
    holder = checkpoint.shares_id or checkpoint.pk
    alive = Checkpoint.objects.filter(Q(pk=holder) | Q(shares=holder), state=State.CAPTURED)
    return alive.select_related("manifest", "shares__manifest", "guest", "project")


# --- verdicts ---


@transaction.atomic
def passed(verification: Verification, *, also: list[str] | None = None, sentence: str = "") -> None:
    """It was proven. `also`: ids of others that live in its snapshot, and whose own rows were found sound with it."""
    now = timezone.now()
    checkpoint = _locked(verification.checkpoint_id)
    if checkpoint.state != State.CAPTURED:
        abandoned(verification, f"Meanwhile it is {checkpoint.get_state_display().lower()}.")
        return
    _conclude(verification, Verdict.PASSED, sentence, now)
    _claim(checkpoint, Depth(verification.depth), now)
    record("checkpoint.verified", checkpoint, depth=verification.depth)
    if verification.depth == Depth.METADATA:
        return
    for other in kin(checkpoint).filter(pk__in=also or []).exclude(pk=checkpoint.pk):
        evidence = {"with": checkpoint.handle, "of": verification.evidence.get("of", "snapshot")}
        Verification.objects.create(
            checkpoint=other,
            depth=Depth.CONTENT,
            verdict=Verdict.PASSED,
            sentence=f"Proven with {checkpoint.handle}, whose snapshot it shares.",
            evidence=evidence,
            asked_by=verification.asked_by,
            ended_at=now,
        )
        _claim(other, Depth.CONTENT, now)


@transaction.atomic
def failed(verification: Verification, fault: Fault) -> None:
    """It was proven bad: the checkpoint is broken, and so are all others that live in the same bad snapshot.

    A bad backup is not claimed any more; the snapshot it was taken of is as good as it was.
    """
    checkpoint = _locked(verification.checkpoint_id)
    _conclude(verification, Verdict.FAILED, fault.sentence, timezone.now())
    record("checkpoint.proof_failed", checkpoint, depth=verification.depth, sentence=fault.sentence)
    if verification.evidence.get("of") == BACKUP and fault.shared:
        forget_backup(checkpoint)
        return
    for one in kin(checkpoint) if fault.shared else [checkpoint]:
        if one.state == State.CAPTURED:
            fail(one, f"Its {verification.depth} proof failed: {fault.sentence}")


@transaction.atomic
def abandoned(verification: Verification, sentence: str) -> None:
    """It could not be found out; nothing is claimed that was not before."""
    _conclude(verification, Verdict.ABANDONED, sentence, timezone.now())


@transaction.atomic
def forget_backup(checkpoint: Checkpoint) -> None:
    """Its backup cannot be used, or is gone: what it holds is not durable any more."""
    holder = checkpoint.holder
    Checkpoint.objects.filter(pk=holder.pk).update(backup="", backup_bytes=0, durable_at=None)
    record("checkpoint.backup_lost", checkpoint, backup=holder.backup)


def not_durable(checkpoint: Checkpoint, sentence: str) -> None:
    """It could not be exported. In the caller's transaction."""
    record("checkpoint.export_failed", checkpoint, sentence=sentence)


def _locked(key: Any) -> Checkpoint:
    related = Checkpoint.objects.select_for_update(of=("self",), no_key=True)
    return related.select_related("project", "guest", "shares").get(pk=key)


def _claim(checkpoint: Checkpoint, depth: Depth, now: datetime) -> None:
    """A shallower proof does not take the place of a deeper one, unless that is old enough to be repeated."""
    old = now - timedelta(days=settings.CHECKPOINT_PROOF_DAYS)
    deeper = (
        checkpoint.proven_at and checkpoint.proven_at > old and not reaches(depth, checkpoint.proven_depth)
    )
    if not deeper:
        Checkpoint.objects.filter(pk=checkpoint.pk).update(proven_at=now, proven_depth=depth)


def _conclude(verification: Verification, verdict: Verdict, sentence: str, now: datetime) -> None:
    began = verification.evidence.get("began", 0.0)
    seconds = max(now.timestamp() - began, 0.0) if began else 0.0
    verification.move(
        verdict, sentence=sentence, ended_at=now, seconds=seconds, evidence=verification.evidence
    )
