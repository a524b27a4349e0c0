"""Proofs and exports: what may be asked, by people and by the schedule. Workers carry them out (`machines.work`)."""

from django.conf import settings
from django.db import transaction

from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint, Verification
from checkpoints.states import Depth
from checkpoints.trust import proofs
from events import actions as events
from guests import actions as guests
from guests.models import Guest
from operations import actions as operations
from operations.models import Operation
from projects.errors import Conflict
from projects.models import User
from proxmox.storage_kinds import Branch


@transaction.atomic
def verify(checkpoint: Checkpoint, depth: Depth, *, by: User | None, of_backup: bool = False) -> Verification:
    """Have it proven that the checkpoint can be returned to; by nobody: the schedule wants it.

    Raises `Conflict` while another proof is under way, when the day's time for scratch guests is used up, and when a
    few of the project wait for one already. What cannot be found out here is answered at once, with the reason.
    """
    checkpoints.hold(checkpoint)
    of_backup = of_backup or _only_from_backup(checkpoint, depth)
    evidence = {"of": proofs.BACKUP if of_backup else "snapshot"}
    if of_backup and not checkpoint.holder.backup:
        raise Conflict(f"Checkpoint {checkpoint.handle} has no backup that could be verified.")
    if sentence := _hopeless(checkpoint, depth, of_backup=of_backup):
        verification = proofs.request(checkpoint, depth, by=by, scratch=None, evidence=evidence)
        proofs.abandoned(verification, sentence)
        return verification
    scratch = None
    if depth != Depth.METADATA:
        proofs.require_time(checkpoint.project)
        proofs.require_room(checkpoint.project)
        scratch = guests.allocate(checkpoint.project, checkpoint.guest)
    verification = proofs.request(checkpoint, depth, by=by, scratch=scratch, evidence=evidence)
    lock = scratch.subject if scratch else f"verification:{verification.id}"
    _begin("verify", checkpoint, lock=lock, by=by, verification=str(verification.id))
    return verification


def _only_from_backup(checkpoint: Checkpoint, depth: Depth) -> bool:
    """Whether a guest of it can be made from its backup only; then it is that which is proven."""
    return depth != Depth.METADATA and checkpoint.branching.strategy == Branch.BACKUP


def _hopeless(checkpoint: Checkpoint, depth: Depth, *, of_backup: bool) -> str:
    """Why a proof of that depth can be had in no way; "" when it can be tried."""
    if depth == Depth.METADATA:
        return ""
    branching = checkpoint.branching
    if branching.strategy is None and not of_backup:
        return branching.sentence
    return proofs.NO_LIST if depth == Depth.CONTENT and checkpoint.holder.manifest is None else ""


@transaction.atomic
def export(checkpoint: Checkpoint, *, by: User | None) -> Operation:
    """Have the checkpoint's state written to the backup storage, so that it outlives its guest and its storage.

    Raises `Conflict` when it is there already, or cannot be.
    """
    checkpoints.hold(checkpoint)
    holder = checkpoint.holder
    if not settings.PROXMOX_BACKUP_STORAGE:
        raise Conflict("There is no storage for backups. An operator sets PROXMOX_BACKUP_STORAGE.")
    if holder.backup:
        raise Conflict(f"Checkpoint {checkpoint.handle} is durable already: {holder.backup}.")
    if exporting(holder):
        raise Conflict(f"Checkpoint {checkpoint.handle} is being exported already.")
    if not holder.snapshot:
        raise Conflict(f"{checkpoint.handle} is a template; its recipe builds it again.")
    if is_at_rest(holder):
        return _begin("export", holder, lock=holder.guest.subject, by=by, checkpoint=str(holder.id))
    branching = holder.branching
    if branching.strategy in {None, Branch.FREEZE}:
        raise Conflict(f"Checkpoint {checkpoint.handle} cannot be exported: {branching.sentence}")
    scratch = guests.allocate(holder.project, holder.guest)
    arguments = {"checkpoint": str(holder.id), "scratch": str(scratch.id)}
    return _begin("export", holder, lock=scratch.subject, by=by, **arguments)


def is_at_rest(holder: Checkpoint) -> bool:
    """Whether its own guest can be backed up: it is off, and has no later snapshot."""
    guest = Guest.objects.get(pk=holder.guest_id)
    return guest.at_rest and holder.newest


def exporting(holder: Checkpoint) -> bool:
    """Whether an export of it is under way."""
    return Operation.objects.active().filter(verb="export", arguments__checkpoint=str(holder.id)).exists()


def _begin(verb: str, about: Checkpoint, *, lock: str, by: User | None, **arguments: str) -> Operation:
    operation = operations.begin(
        verb,
        subject=about.origin,
        project=about.project,
        lock=lock,
        task=f"machines.tasks.{verb}",
        by=by,
        **arguments,
    )
    events.ring(f"checkpoint.{verb}", subject=about.subject, project_id=about.project_id)
    return operation
