"""The backup that belongs to a checkpoint where no branch can be made from a snapshot; and when one counts as lost."""

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from checkpoints.models import Checkpoint
from checkpoints.states import State
from checkpoints.taking import capturing
from checkpoints.taking.capturing import HasCheckpoint
from checkpoints.telling import record
from checkpoints.trust import proofs
from events.models import Event
from guests import work as guests
from operations.engine import Outcome
from operations.slots import Slots
from proxmox.connect import driver
from proxmox.driver import Backup

GONE_ON = (
    "Its backup took so long that the agent had gone on before it was written; it was removed, and no machine can be "
    "made from this checkpoint once its guest has gone on."
)

MISSED = (
    "Its backup {} was not found on its storage. When it is not there a day later either, it counts as lost."
)
UNSEEN = "Its backup {} cannot be looked for: its storage is not active on every node that may have it."


def wanted(checkpoint: Checkpoint | None) -> bool:
    """Where no branch can be made from a snapshot, checkpoints that somebody cares for are backed up, too."""
    if checkpoint is None or not settings.PROXMOX_BACKUP_STORAGE or checkpoint.backup:
        return False
    known = checkpoint.guest.abilities
    from_snapshots = known is None or known.links_snapshots or known.copies_snapshots
    return (
        checkpoint.kind in Checkpoint.MILESTONES and not from_snapshots and checkpoint.state != State.BROKEN
    )


def back_up(context: HasCheckpoint) -> Outcome:
    """Have Proxmox write the present, which is the snapshot that was just taken, to the backup storage."""
    checkpoint = context.checkpoint
    if checkpoint is None or not wanted(checkpoint):
        return None
    storage = settings.PROXMOX_BACKUP_STORAGE
    return driver().back_up(checkpoint.guest.vm, storage, f"{checkpoint.handle} {checkpoint.id}")


def look_for_backup(context: HasCheckpoint) -> bool | str:
    """What became of a backup whose answer was lost."""
    checkpoint = context.checkpoint
    if checkpoint is None or not wanted(checkpoint) or _find_backup(checkpoint):
        return True
    vm, since = checkpoint.guest.vm, checkpoint.created_at.timestamp()
    upid = driver().find_task(vm.node, "vzdump", vm.vmid, since)
    return upid if upid and not driver().tasks([upid])[0].result else False


def file_backup(context: HasCheckpoint) -> Outcome:
    """Note where the backup is, if it holds the checkpoint's state; one that holds a later one is removed."""
    checkpoint = context.checkpoint
    if checkpoint is None or not wanted(checkpoint) or not (found := _find_backup(checkpoint)):
        return None
    if _has_gone_on(checkpoint):
        not_backed_up(context, GONE_ON)
        return driver().delete_volume(checkpoint.guest.node, found.volume)
    durable(checkpoint, found.volume, found.bytes)
    return None


@transaction.atomic
def durable(holder: Checkpoint, volume: str, size: int) -> None:
    """A backup of so many bytes holds its state from now on."""
    now = timezone.now()
    Checkpoint.objects.filter(pk=holder.pk).update(backup=volume, backup_bytes=size, durable_at=now)
    holder.backup = volume
    record("checkpoint.durable", holder, backup=volume, bytes=size)


@transaction.atomic
def missed(holder: Checkpoint, now: datetime | None = None) -> bool:
    """Its backup is not listed. True once that has been so for a day: only then is the reference to it given up."""
    now = now or timezone.now()
    if _say(holder, MISSED.format(holder.backup)):
        record("checkpoint.backup_missed", holder, backup=holder.backup)
        return False
    first = Event.objects.filter(
        kind="checkpoint.backup_missed", subject=holder.subject
    ).first()  # the latest
    if first and now - first.at < proofs.DAY:
        return False
    _say(holder, "")
    proofs.forget_backup(holder)
    return True


def unseen(holder: Checkpoint) -> None:
    """Nobody can say now whether its backup is there."""
    _say(holder, UNSEEN.format(holder.backup))


def seen(holder: Checkpoint) -> None:
    """Its backup is there, whatever was said before."""
    said = [sentence.format(holder.backup) for sentence in (MISSED, UNSEEN)]
    Checkpoint.objects.filter(pk=holder.pk, error__in=said).update(error="")


def _say(holder: Checkpoint, sentence: str) -> bool:
    """False when that is what it says already."""
    return bool(Checkpoint.objects.filter(pk=holder.pk).exclude(error=sentence).update(error=sentence))


def _has_gone_on(checkpoint: Checkpoint) -> bool:
    """Whether the guest's files are no longer those of the checkpoint: an agent is not held still for ever."""
    if not guests.is_running(checkpoint.guest):
        return False
    if not checkpoint.digest:  # they could not be listed then; nothing proves that they are the same
        return True
    return capturing.digest_now(checkpoint) != checkpoint.digest


def _find_backup(checkpoint: Checkpoint) -> Backup | None:
    vm = checkpoint.guest.vm
    found = driver().backups(vm.node, settings.PROXMOX_BACKUP_STORAGE, vm.vmid)
    return next((one for one in found if str(checkpoint.id) in one.notes), None)


def not_backed_up(context: HasCheckpoint, sentence: str) -> None:
    """The snapshot is there all the same; the checkpoint says what it lacks."""
    if context.checkpoint:
        Checkpoint.objects.filter(pk=context.checkpoint.pk).update(error=sentence)


def needed(context: HasCheckpoint) -> bool:
    return wanted(context.checkpoint)


def slots(context: HasCheckpoint) -> Slots:
    """Proxmox writes one backup at a time on a node (pve-manager: VZDump.pm, vzdump.lock)."""
    checkpoint = context.checkpoint
    if checkpoint is None or not wanted(checkpoint):
        return {}
    return {f"backup:{checkpoint.guest.node}": 1}
