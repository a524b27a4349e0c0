"""The end: the agent stops, a final checkpoint is taken, the guest is switched off. Its snapshots stay.

A machine that is still being spawned is cancelled: its guest goes, since nothing happened in it. With grace, the end
begins later, and can be called off until then.
"""

from checkpoints import work as checkpoints
from guests import actions as guest_actions
from guests import work as guests
from machines import actions, tokens
from machines.states import State
from machines.work import bundle
from machines.work.context import Work, blocked, failed, load, moved
from operations.engine import Later, Outcome, Plan, Step
from operations.models import Operation
from projects import permissions
from projects.errors import Conflict
from proxmox import errors


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


BETWEEN_SECONDS, PATIENCE_SECONDS = 1, 600  # for a machine that is just being paused, or resumed


def _begin(work: Work) -> Outcome:
    """The end itself, by whoever asked for it; what has ended meanwhile, or was brought back, needs none."""
    machine, by = work.machine, work.operation.requested_by
    if machine.ended or machine.state == State.STOPPING or _brought_back(work):
        return None
    if by is None:
        raise errors.Refused("Whoever asked for it has no account any more.")
    if not permissions.operates(by, machine):
        raise errors.Refused(f"{by.username} asked for it, and may not terminate {machine.handle} any more.")
    try:
        actions.terminate(machine, by=by)
    except Conflict as conflict:
        return Later(BETWEEN_SECONDS, PATIENCE_SECONDS, str(conflict))
    return None


def _brought_back(work: Work) -> bool:
    """Whether the machine was rolled back since: what it is now, nobody asked to end."""
    since = Operation.objects.filter(subject=work.machine.subject, created_at__gt=work.operation.created_at)
    return since.filter(verb="rollback").exists()


def _nothing_more(work: Work, sentence: str = "") -> None:
    """The machine is as it was, or another operation ends it."""


SOON: Plan[Work] = Plan(
    load=load,
    steps=(Step("begin", "Beginning the end", _begin),),
    succeed=_nothing_more,
    fail=_nothing_more,
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
