"""What a worker does to take a checkpoint: list its files (`capturing`), snapshot it, and back it up where needed."""

from dataclasses import dataclass

from django.utils import timezone

from checkpoints.models import Checkpoint
from checkpoints.states import State
from checkpoints.taking import backups, capturing
from checkpoints.taking.capturing import HasCheckpoint
from checkpoints.telling import fail, record
from guests import locks
from guests import work as guests
from operations.engine import Outcome, Plan, Step
from operations.models import Operation
from proxmox import errors
from proxmox.connect import driver


def snapshot(context: HasCheckpoint) -> Outcome:
    """Have Proxmox take the snapshot."""
    checkpoint = context.checkpoint
    if checkpoint is None or not _wants_snapshot(context):
        return None
    if checkpoint.ram:
        _require_memory(checkpoint)
    note = f"{checkpoint.handle} {checkpoint.why} {checkpoint.id}"
    return driver().snapshot(checkpoint.guest.vm, checkpoint.snapshot, note, ram=checkpoint.ram)


def _require_memory(checkpoint: Checkpoint) -> None:
    """Of a VM that is off Proxmox would take an ordinary snapshot, and say nothing (qemu-server: QemuConfig.pm)."""
    if not guests.is_running(checkpoint.guest):
        raise errors.Refused("The guest is not running, so there is no memory to save.")


def _wants_snapshot(context: HasCheckpoint) -> bool:
    checkpoint = context.checkpoint
    return bool(checkpoint and checkpoint.state == State.REQUESTED and not checkpoint.shares_id)


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
        record("checkpoint.captured", checkpoint)


def broken(context: HasCheckpoint, sentence: str) -> None:
    """Settle: it could not be taken. What ran goes on."""
    checkpoint = context.checkpoint
    if checkpoint and checkpoint.state == State.REQUESTED:
        advice = " Take it without the memory." if checkpoint.ram else ""
        fail(checkpoint, f"{sentence}{advice}")


# What every plan that takes a checkpoint on its way does for it; a failure is kept with it and stops nothing.
STEPS: tuple[Step[HasCheckpoint], ...] = (
    # Where a backup belongs to it, its slot is taken first: the agent does not stand still while others' are written.
    Step(
        "capture",
        "Listing the files",
        capturing.capture,
        tolerate=capturing.unlisted,
        slots=backups.slots,
        needed=capturing.is_taken,
    ),
    Step(
        "snapshot",
        "Taking the snapshot",
        snapshot,
        look=look_for_snapshot,
        tolerate=broken,
        slots=backups.slots,
        needed=_wants_snapshot,
        brief=True,
    ),
    Step(
        "backup",
        "Backing up",
        backups.back_up,
        look=backups.look_for_backup,
        tolerate=backups.not_backed_up,
        slots=backups.slots,
        needed=backups.needed,
    ),
    Step(
        "filing",
        "Filing the backup",
        backups.file_backup,
        tolerate=backups.not_backed_up,
        needed=backups.needed,
    ),
    Step(
        "thaw",
        "Letting the agent go on",
        capturing.thaw,
        tolerate=capturing.thawed_by_itself,
        needed=capturing.holds_agent,
    ),
    Step(
        "contents",
        "Keeping large files",
        capturing.complete,
        tolerate=capturing.incomplete,
        needed=capturing.lacks_contents,
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
