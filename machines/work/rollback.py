"""Going back in place: the present is kept, then disk and conversation return to the checkpoint, and it goes on."""

from checkpoints import work as checkpoints
from checkpoints.states import State as CheckpointState
from guests import work as guests
from machines.models import Machine
from machines.work import network
from machines.work.context import Work, blocked, failed, load, running
from machines.work.spawn import send_bundle, start_agent
from machines.work.terminate import QUIET
from operations.engine import Outcome, Plan, Step
from proxmox import errors
from proxmox.connect import driver


def _rollback(work: Work) -> Outcome:
    """Restore; whatever the present was, it is in a checkpoint now, or nothing is done."""
    checkpoints.captured(work.kept)
    if work.kept and work.kept.state != CheckpointState.CAPTURED:
        raise errors.Refused(f"The present could not be kept, so it was not left: {work.kept.error}")
    target = work.target
    if target is None or target.state != CheckpointState.CAPTURED:
        raise errors.Refused("The checkpoint to return to cannot be used any more.")
    return driver().rollback(work.machine.guest.vm, target.snapshot)


def _send(work: Work) -> Outcome:
    """The disk is back; whatever checkpoint comes next follows the target."""
    assert work.target is not None
    Machine.objects.filter(pk=work.machine.pk).update(present=work.target)
    begun = work.target.begun
    return send_bundle(work, resume=begun, prompt="" if begun else work.machine.prompt, files=not begun)


PLAN: Plan[Work] = Plan(
    load=load,
    steps=(
        QUIET,
        *checkpoints.STEPS,
        Step("stop", "Stopping the VM", lambda work: guests.stop(work.machine.guest)),
        Step("rollback", "Going back", _rollback),
        network.CLOSE_AGAIN,
        Step("start", "Starting the VM", lambda work: guests.start(work.machine.guest)),
        Step("agent", "Waiting for the guest agent", lambda work: guests.await_agent(work.machine.guest)),
        Step("files", "Preparing the agent", _send),
        network.IN_FORCE,
        Step("launch", "Starting the agent", start_agent),
    ),
    succeed=running,
    fail=failed,
    blocked=blocked,
)
