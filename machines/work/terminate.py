"""The end: the agent stops, a final checkpoint is taken, the guest is switched off. Its snapshots stay.

A machine that is still being spawned is cancelled: its guest goes, since nothing happened in it.
"""

from checkpoints import work as checkpoints
from guests import actions as guest_actions
from guests import work as guests
from machines import tokens
from machines.states import State
from machines.work import bundle
from machines.work.context import Work, blocked, failed, load, moved
from operations.engine import Outcome, Plan, Step


def _stop_agent(work: Work) -> Outcome:
    """Nothing may write, or call, while the present is kept."""
    tokens.revoke(work.machine)
    if guests.is_running(work.machine.guest):
        bundle.stop(work.machine)
    return None


def _goes_on(work: Work, sentence: str) -> None:
    """An agent that cannot be stopped is stopped with its guest."""


QUIET: Step[Work] = Step("quiet", "Stopping the agent", _stop_agent, tolerate=_goes_on)


def _ended(work: Work) -> None:
    checkpoints.captured(work.kept)
    if work.kept and work.kept.usable:  # nothing has written to its disks since, but the way down
        guest_actions.set_at_rest(work.machine.guest, True)
    by_itself = work.operation.requested_by is None
    moved(work, State.FAILED if by_itself and work.machine.exit_code else State.TERMINATED)


PLAN: Plan[Work] = Plan(
    load=load,
    steps=(
        # A frozen guest is woken, so that its agent can be told to stop and its files can be listed.
        Step("wake", "Waking the VM", lambda work: guests.unfreeze(work.machine.guest), tolerate=_goes_on),
        QUIET,
        *checkpoints.STEPS,
        Step("stop", "Stopping the VM", lambda work: guests.stop(work.machine.guest)),
    ),
    succeed=_ended,
    fail=failed,
    blocked=blocked,
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
    blocked=blocked,
)
