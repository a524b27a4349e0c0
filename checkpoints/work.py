"""What a worker does to take a checkpoint: ask the guest what files it has, then have Proxmox snapshot it."""

import json
from dataclasses import dataclass
from typing import Protocol

from django.utils import timezone

from checkpoints import manifests
from checkpoints.models import Checkpoint
from checkpoints.states import State
from events import actions as events
from guests import work as guests
from operations.engine import Outcome, Plan, Step
from operations.models import Operation
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import Ran

CAPTURE_SECONDS = 60
RUNNER = '"${GUEST_ROOT:-}/opt/autovibe/runner.py"'
OUT = "/var/lib/autovibe/capture.gz"


class HasCheckpoint(Protocol):
    """What the steps below need of a plan's context."""

    @property
    def checkpoint(self) -> Checkpoint: ...


def capture(context: HasCheckpoint) -> Outcome:
    """Ask the guest for its manifest and for contents that we do not have yet.

    A guest that is off or frozen is not asked: its checkpoint has no list of files, and is as restorable.
    """
    checkpoint = context.checkpoint
    if checkpoint.manifest_id or not guests.is_running(checkpoint.guest):
        return None
    vm = checkpoint.guest.vm
    ran = driver().run(vm, f'exec python3 {RUNNER} capture "${{GUEST_ROOT:-}}{OUT}"', seconds=CAPTURE_SECONDS)
    digest = str(json.loads(_stdout(ran))["digest"])[:64]
    manifests.store(
        checkpoint,
        digest,
        read=lambda: driver().read(vm, OUT),
        fetch=lambda wanted: _contents(checkpoint, wanted),
    )
    return None


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
    if checkpoint.state != State.REQUESTED:
        return None
    return driver().snapshot(
        checkpoint.guest.vm, checkpoint.snapshot, f"{checkpoint.handle} {checkpoint.why} {checkpoint.id}"
    )


def look_for_snapshot(context: HasCheckpoint) -> bool | str:
    """What became of a snapshot whose answer was lost."""
    checkpoint = context.checkpoint
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


def captured(checkpoint: Checkpoint) -> None:
    """Settle: it can be returned to from now on. Harmless when it is so already."""
    if checkpoint.state == State.REQUESTED:
        checkpoint.move(State.CAPTURED, captured_at=timezone.now())
        _record("checkpoint.captured", checkpoint)


def broken(checkpoint: Checkpoint, sentence: str) -> None:
    """Settle: it could not be taken. What ran goes on."""
    if checkpoint.state == State.REQUESTED:
        checkpoint.move(State.BROKEN, error=sentence)
        _record("checkpoint.broken", checkpoint, error=sentence)


def _record(kind: str, checkpoint: Checkpoint, **data: str) -> None:
    events.record(
        kind, subject=checkpoint.subject, project_id=checkpoint.project_id, handle=checkpoint.handle, **data
    )
    events.ring(kind, subject=checkpoint.origin, project_id=checkpoint.project_id)


@dataclass
class Taking:
    """The context of the plan that only takes a checkpoint."""

    checkpoint: Checkpoint


def _load(operation: Operation) -> Taking:
    found = Checkpoint.objects.select_related("guest", "project", "parent__manifest").get(
        pk=operation.arguments["checkpoint"]
    )
    return Taking(found)


TAKE: Plan[Taking] = Plan(
    load=_load,
    steps=(
        Step("capture", "Listing the files", capture),
        Step("snapshot", "Taking the snapshot", snapshot, look=look_for_snapshot),
    ),
    succeed=lambda taking: captured(taking.checkpoint),
    fail=lambda taking, sentence: broken(taking.checkpoint, sentence),
)
