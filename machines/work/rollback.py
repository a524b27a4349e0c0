"""Going back in place: the present is kept, then disk and conversation return to the checkpoint, and it goes on."""

from checkpoints import work as checkpoints
from checkpoints.states import State as CheckpointState
from guests import work as guests
from machines.models import Machine
from machines.work.context import Work, failed, keep, load, running
from machines.work.spawn import send_bundle, start_agent
from operations.engine import Outcome, Plan, Step
from proxmox import errors
from proxmox.connect import driver


def _capture(work: Work) -> Outcome:
    return checkpoints.capture(work) if work.kept else None


def _snapshot(work: Work) -> Outcome:
    return checkpoints.snapshot(work) if work.kept else None


def _rollback(work: Work) -> Outcome:
    """Restore; whatever the present was, it is in a checkpoint now."""
    keep(work)
    target = work.target
    if target is None or target.state != CheckpointState.CAPTURED:
        raise errors.Refused("The checkpoint to return to cannot be used any more.")
    return driver().rollback(work.machine.guest.vm, target.snapshot)


def _send(work: Work) -> Outcome:
    """The disk is back; whatever checkpoint comes next follows the target."""
    Machine.objects.filter(pk=work.machine.pk).update(present=work.target)
    return send_bundle(work, resume=_has_begun(work), prompt=_prompt(work), files=not _has_begun(work))


def _has_begun(work: Work) -> bool:
    """Whether the conversation had begun at the target; before that the prompt is still to be given."""
    assert work.target is not None
    return work.machine.continues or work.target.number > 1


def _prompt(work: Work) -> str:
    return "" if _has_begun(work) else work.machine.prompt


PLAN: Plan[Work] = Plan(
    load=load,
    steps=(
        Step("capture", "Listing the files", _capture),
        Step("snapshot", "Keeping the present", _snapshot, look=checkpoints.look_for_snapshot),
        Step("stop", "Stopping the VM", lambda work: guests.stop(work.machine.guest)),
        Step("rollback", "Going back", _rollback),
        Step("start", "Starting the VM", lambda work: guests.start(work.machine.guest)),
        Step("agent", "Waiting for the guest agent", lambda work: guests.await_agent(work.machine.guest)),
        Step("files", "Preparing the agent", _send),
        Step("launch", "Starting the agent", start_agent),
    ),
    succeed=running,
    fail=failed,
)
