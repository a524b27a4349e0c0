"""Pausing and resuming: the guest is frozen in memory, and goes on where it was."""

from checkpoints import work as checkpoints
from guests import work as guests
from machines.states import State
from machines.work import bundle
from machines.work.context import Work, failed, keep, load, moved, running, without_checkpoint
from machines.work.spawn import send_bundle, start_agent
from operations.engine import Outcome, Plan, Step


def _capture(work: Work) -> Outcome:
    return checkpoints.capture(work) if work.kept else None


def _snapshot(work: Work) -> Outcome:
    return checkpoints.snapshot(work) if work.kept else None


def _paused(work: Work) -> None:
    keep(work)
    moved(work, State.PAUSED)


PAUSE: Plan[Work] = Plan(
    load=load,
    steps=(
        Step("capture", "Listing the files", _capture, tolerate=without_checkpoint),
        Step(
            "snapshot",
            "Taking the snapshot",
            _snapshot,
            look=checkpoints.look_for_snapshot,
            tolerate=without_checkpoint,
        ),
        Step("suspend", "Freezing the VM", lambda work: guests.suspend(work.machine.guest)),
    ),
    succeed=_paused,
    fail=failed,
)


def _restarts(work: Work) -> bool:
    return bool(work.operation.arguments.get("restart"))


def _send_again(work: Work) -> Outcome:
    """The agent ended when its call was refused; a new run goes on with its conversation."""
    if not _restarts(work):
        return None
    bundle.stop(work.machine)
    return send_bundle(work, resume=True, prompt="", files=False)


def _start_again(work: Work) -> Outcome:
    return start_agent(work) if _restarts(work) else None


RESUME: Plan[Work] = Plan(
    load=load,
    steps=(
        Step("wake", "Waking the VM", lambda work: guests.wake(work.machine.guest)),
        Step("agent", "Waiting for the guest agent", lambda work: guests.await_agent(work.machine.guest)),
        Step("files", "Preparing the agent", _send_again),
        Step("launch", "Starting the agent", _start_again),
    ),
    succeed=lambda work: running(work, paused_for="", sentence=""),
    fail=failed,
)
