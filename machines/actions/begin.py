"""What every verb does: look whether it may be asked now, begin the operation that carries it out, and record it."""

from events import actions as events
from machines.models import Machine
from machines.states import VERBS
from operations import actions as operations
from operations.models import Operation
from projects.errors import Conflict
from projects.models import User


def require(machine: Machine, verb: str) -> None:
    """Raises `Conflict` when the verb cannot be asked of the machine in its state."""
    if machine.state in VERBS[verb]:
        return
    allowed = ", ".join(machine.verbs) or "nothing, until it is further"
    raise Conflict(
        f"Machine {machine.handle} is {machine.get_state_display().lower()}; “{verb}” is not possible now. "
        f"Possible: {allowed}.",
        state=machine.state,
        possible=machine.verbs,
    )


def begin(verb: str, machine: Machine, *, by: User | None, lock: str = "", **arguments: object) -> Operation:
    """`lock`: what one of it at a time excludes others from, where that is not the guest."""
    return operations.begin(
        verb,
        subject=machine.subject,
        project=machine.project,
        lock=lock or machine.guest.subject,
        task=f"machines.tasks.{verb}",
        by=by,
        machine=str(machine.id),
        **arguments,
    )


def record(machine: Machine, kind: str, *, by: User | None = None, **data: object) -> None:
    actor = by.username if by else events.SYSTEM
    events.record(
        kind, subject=machine.subject, project_id=machine.project_id, by=actor, handle=machine.handle, **data
    )
