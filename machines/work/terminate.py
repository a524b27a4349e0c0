"""The end: the agent stops, a final checkpoint is taken, the guest is switched off. Its snapshots stay.

A machine that is still being spawned is cancelled: its guest goes, since nothing happened in it.
"""

from checkpoints import work as checkpoints
from guests import actions as guest_actions
from guests import work as guests
from machines import tokens
from machines.states import State
from machines.work import bundle
from machines.work.context import Work, failed, keep, load, moved, without_checkpoint
from operations.engine import Outcome, Plan, Step


def _stop_agent(work: Work) -> Outcome:
    """Nothing may write while the final checkpoint is taken. A frozen guest is woken for it."""
    tokens.revoke(work.machine)
    if guests.is_running(work.machine.guest):
        bundle.stop(work.machine)
    return None


def _went_on(work: Work, sentence: str) -> None:
    """An agent that cannot be stopped is stopped with its guest."""


def _ended(work: Work) -> None:
    keep(work)
    by_itself = work.operation.requested_by is None
    moved(work, State.FAILED if by_itself and work.machine.exit_code else State.TERMINATED)


PLAN: Plan[Work] = Plan(
    load=load,
    steps=(
        Step("wake", "Waking the VM", lambda work: guests.wake(work.machine.guest), tolerate=_went_on),
        Step("quiet", "Stopping the agent", _stop_agent, tolerate=_went_on),
        Step("capture", "Listing the files", checkpoints.capture, tolerate=without_checkpoint),
        Step(
            "snapshot",
            "Taking the final checkpoint",
            checkpoints.snapshot,
            look=checkpoints.look_for_snapshot,
            tolerate=without_checkpoint,
        ),
        Step("stop", "Stopping the VM", lambda work: guests.stop(work.machine.guest)),
    ),
    succeed=_ended,
    fail=failed,
)


def _cancelled(work: Work) -> None:
    """Nothing ran in it that anybody may come back to."""
    moved(work, State.TERMINATED)
    guest_actions.condemn(work.machine.guest)


CANCEL: Plan[Work] = Plan(
    load=load,
    steps=(Step("stop", "Stopping the VM", lambda work: guests.stop(work.machine.guest)),),
    succeed=_cancelled,
    fail=failed,
)
