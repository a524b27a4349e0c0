"""What a worker does to take a checkpoint: ask the guest what files it has, then have Proxmox snapshot it."""

import json
from dataclasses import dataclass
from typing import Protocol

from django.conf import settings
from django.utils import timezone

from checkpoints import manifests
from checkpoints.models import Checkpoint
from checkpoints.states import State
from events import actions as events
from guests import locks
from guests import work as guests
from operations.engine import Outcome, Plan, Step
from operations.models import Operation
from operations.slots import Slots
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import Ran

CAPTURE_SECONDS = 60
RUNNER = '"${GUEST_ROOT:-}/opt/autovibe/runner.py"'
OUT = "/var/lib/autovibe/capture.gz"

GONE_ON = (
    "Its backup took so long that the agent had gone on before it was written; it was removed, and no machine can be "
    "made from this checkpoint once its guest has gone on."
)
# Checkpoints that somebody asked for, or that end a machine.
MILESTONES = {Checkpoint.Kind.MANUAL, Checkpoint.Kind.FINAL}


class HasCheckpoint(Protocol):
    """What the steps below need of a plan's context; without a checkpoint to take they do nothing."""

    @property
    def checkpoint(self) -> Checkpoint | None: ...


def capture(context: HasCheckpoint) -> Outcome:
    """Ask the guest for its manifest and for contents that we do not have yet.

    A guest that is off or frozen is not asked: its checkpoint has no list of files, and is as restorable.
    """
    checkpoint = context.checkpoint
    if checkpoint is None or checkpoint.manifest_id or not guests.is_running(checkpoint.guest):
        return None
    vm = checkpoint.guest.vm
    freeze = " --freeze" if _agent_works(checkpoint) else ""
    ran = driver().run(
        vm, f'exec python3 {RUNNER} capture "${{GUEST_ROOT:-}}{OUT}"{freeze}', seconds=CAPTURE_SECONDS
    )
    try:
        digest = str(json.loads(_stdout(ran))["digest"])[:64]
        manifests.store(
            checkpoint,
            digest,
            read=lambda: driver().read(vm, OUT),
            fetch=lambda wanted: _contents(checkpoint, wanted),
        )
    except manifests.UNREADABLE as error:
        raise errors.ProxmoxError(f"The guest's list of files cannot be read: {error!r}") from None
    return None


def unlisted(context: HasCheckpoint, sentence: str) -> None:
    """A guest that cannot list its files is snapshotted all the same; the checkpoint says what it lacks."""
    if context.checkpoint:
        Checkpoint.objects.filter(pk=context.checkpoint.pk).update(error=sentence)


def _contents(checkpoint: Checkpoint, wanted: list[str]) -> bytes:
    """Contents that an earlier capture handed out and nobody kept, since its worker was killed."""
    vm, out = checkpoint.guest.vm, f"{OUT}.more"
    script = f'out="$1"; shift; exec python3 {RUNNER} contents "${{GUEST_ROOT:-}}$out" "$@"'
    _stdout(driver().run(vm, script, out, *wanted, seconds=CAPTURE_SECONDS))
    return driver().read(vm, out)


def _stdout(ran: Ran) -> bytes:
    if ran.code:
        raise errors.ProxmoxError(f"the guest answered: {ran.err.decode(errors='replace').strip()[:500]}")
    return ran.out


def snapshot(context: HasCheckpoint) -> Outcome:
    """Have Proxmox take the snapshot."""
    checkpoint = context.checkpoint
    if checkpoint is None or checkpoint.state != State.REQUESTED:
        return None
    return driver().snapshot(
        checkpoint.guest.vm, checkpoint.snapshot, f"{checkpoint.handle} {checkpoint.why} {checkpoint.id}"
    )


def _agent_works(checkpoint: Checkpoint) -> bool:
    """Whether files may change while they are listed: not while an agent waits for an answer, or has ended."""
    return checkpoint.kind == Checkpoint.Kind.MANUAL


def thaw(context: HasCheckpoint) -> Outcome:
    """Let the agent go on that `capture` held still."""
    checkpoint = context.checkpoint
    if checkpoint and _agent_works(checkpoint) and guests.is_running(checkpoint.guest):
        driver().run(checkpoint.guest.vm, f"exec python3 {RUNNER} thaw")
    return None


def thawed_by_itself(context: HasCheckpoint, sentence: str) -> None:
    """The runner lets a held agent go on after a while, whether it is told or not."""


def look_for_snapshot(context: HasCheckpoint) -> bool | str:
    """What became of a snapshot whose answer was lost."""
    checkpoint = context.checkpoint
    if checkpoint is None:
        return True
    vm = checkpoint.guest.vm
    for known in driver().snapshots(vm):
        if known.name == checkpoint.snapshot:
            if known.complete:
                return True
            since = checkpoint.created_at.timestamp()
            upid = driver().find_task(vm.node, "qmsnapshot", vm.vmid, since)
            if upid and not driver().tasks([upid])[0].result:
                return upid
            raise errors.Stuck(
                f"Snapshot {known.name} of VM {vm.vmid} is incomplete and its lock is stuck. On node {vm.node} "
                f"run: qm unlock {vm.vmid} && qm delsnapshot {vm.vmid} {known.name} --force"
            )
    return False


def captured(checkpoint: Checkpoint | None) -> None:
    """Settle: it can be returned to from now on. Harmless when it is so already, or broken."""
    if checkpoint and checkpoint.state == State.REQUESTED:
        checkpoint.move(State.CAPTURED, captured_at=timezone.now())
        _record("checkpoint.captured", checkpoint)


def broken(context: HasCheckpoint, sentence: str) -> None:
    """Settle: it could not be taken. What ran goes on."""
    checkpoint = context.checkpoint
    if checkpoint and checkpoint.state == State.REQUESTED:
        fail(checkpoint, sentence)


def fail(checkpoint: Checkpoint, sentence: str) -> None:
    """It cannot be returned to, or not any more."""
    checkpoint.move(State.BROKEN, error=sentence)
    _record("checkpoint.broken", checkpoint, error=sentence)


# --- backups ---


def _wants_backup(checkpoint: Checkpoint | None) -> bool:
    """Where no branch can be made from a snapshot, checkpoints that somebody cares for are backed up, too."""
    if checkpoint is None or not settings.PROXMOX_BACKUP_STORAGE or checkpoint.backup:
        return False
    known = checkpoint.guest.abilities
    from_snapshots = known is None or known.links_snapshots or known.copies_snapshots
    return checkpoint.kind in MILESTONES and not from_snapshots and checkpoint.state != State.BROKEN


def back_up(context: HasCheckpoint) -> Outcome:
    """Have Proxmox write the present, which is the snapshot that was just taken, to the backup storage."""
    checkpoint = context.checkpoint
    if checkpoint is None or not _wants_backup(checkpoint):
        return None
    storage = settings.PROXMOX_BACKUP_STORAGE
    return driver().back_up(checkpoint.guest.vm, storage, f"{checkpoint.handle} {checkpoint.id}")


def look_for_backup(context: HasCheckpoint) -> bool | str:
    """What became of a backup whose answer was lost."""
    checkpoint = context.checkpoint
    if checkpoint is None or not _wants_backup(checkpoint) or _find_backup(checkpoint):
        return True
    vm, since = checkpoint.guest.vm, checkpoint.created_at.timestamp()
    upid = driver().find_task(vm.node, "vzdump", vm.vmid, since)
    return upid if upid and not driver().tasks([upid])[0].result else False


def file_backup(context: HasCheckpoint) -> Outcome:
    """Note where the backup is, if it holds the checkpoint's state; one that holds a later one is removed."""
    checkpoint = context.checkpoint
    if checkpoint is None or not _wants_backup(checkpoint) or not (volume := _find_backup(checkpoint)):
        return None
    if _has_gone_on(checkpoint):
        not_backed_up(context, GONE_ON)
        return driver().delete_volume(checkpoint.guest.node, volume)
    Checkpoint.objects.filter(pk=checkpoint.pk).update(backup=volume)
    checkpoint.backup = volume
    return None


def _has_gone_on(checkpoint: Checkpoint) -> bool:
    """Whether the guest's files are no longer those of the checkpoint: an agent is not held still for ever."""
    if not guests.is_running(checkpoint.guest):
        return False
    if not checkpoint.digest:  # they could not be listed then; nothing proves that they are the same
        return True
    again = f'exec python3 {RUNNER} capture "${{GUEST_ROOT:-}}{OUT}.again"'
    ran = driver().run(checkpoint.guest.vm, again, seconds=CAPTURE_SECONDS)
    try:
        return str(json.loads(_stdout(ran))["digest"])[:64] != checkpoint.digest
    except manifests.UNREADABLE:
        return True


def _find_backup(checkpoint: Checkpoint) -> str:
    vm = checkpoint.guest.vm
    found = driver().backups(vm.node, settings.PROXMOX_BACKUP_STORAGE, vm.vmid)
    return next((one.volume for one in found if str(checkpoint.id) in one.notes), "")


def not_backed_up(context: HasCheckpoint, sentence: str) -> None:
    """The snapshot is there all the same; the checkpoint says what it lacks."""
    if context.checkpoint:
        Checkpoint.objects.filter(pk=context.checkpoint.pk).update(error=sentence)


def _backup_slots(context: HasCheckpoint) -> Slots:
    """Proxmox writes one backup at a time on a node (pve-manager: VZDump.pm, vzdump.lock)."""
    checkpoint = context.checkpoint
    if checkpoint is None or not _wants_backup(checkpoint):
        return {}
    return {f"backup:{checkpoint.guest.node}": 1}


def _record(kind: str, checkpoint: Checkpoint, **data: str) -> None:
    events.record(
        kind, subject=checkpoint.subject, project_id=checkpoint.project_id, handle=checkpoint.handle, **data
    )
    events.ring(kind, subject=checkpoint.origin, project_id=checkpoint.project_id)


# What every plan that takes a checkpoint on its way does for it; a failure is kept with it and stops nothing.
STEPS: tuple[Step[HasCheckpoint], ...] = (
    # Where a backup belongs to it, its slot is taken first: the agent does not stand still while others' are written.
    Step("capture", "Listing the files", capture, tolerate=unlisted, slots=_backup_slots),
    Step(
        "snapshot",
        "Taking the snapshot",
        snapshot,
        look=look_for_snapshot,
        tolerate=broken,
        slots=_backup_slots,
        brief=True,
    ),
    Step(
        "backup",
        "Backing up",
        back_up,
        look=look_for_backup,
        tolerate=not_backed_up,
        slots=_backup_slots,
        needed=lambda context: _wants_backup(context.checkpoint),
    ),
    Step(
        "filing",
        "Filing the backup",
        file_backup,
        tolerate=not_backed_up,
        needed=lambda context: _wants_backup(context.checkpoint),
    ),
    Step(
        "thaw",
        "Letting the agent go on",
        thaw,
        tolerate=thawed_by_itself,
        needed=lambda context: context.checkpoint is not None and _agent_works(context.checkpoint),
    ),
)


def _load(operation: Operation) -> "Taking":
    found = Checkpoint.objects.select_related("guest", "project", "parent__manifest")
    return Taking(found.get(pk=operation.arguments["checkpoint"]))


@dataclass
class Taking:
    """The context of the plan that only takes a checkpoint."""

    checkpoint: Checkpoint


def _blocked(context: HasCheckpoint) -> str:
    return locks.blocked(context.checkpoint.guest) if context.checkpoint else ""


TAKE: Plan[HasCheckpoint] = Plan(
    load=_load,
    steps=STEPS,
    succeed=lambda taking: captured(taking.checkpoint),
    fail=broken,
    blocked=_blocked,
)
