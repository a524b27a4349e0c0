"""What every verb does: begin the operation that carries it out, and record that it was asked."""

from events import actions as events
from machines.models import Machine
from operations import actions as operations
from operations.models import Operation
from projects.models import User


def begin(verb: str, machine: Machine, *, by: User | None, **arguments: object) -> Operation:
    return operations.begin(
        verb,
        subject=machine.subject,
        project=machine.project,
        lock=machine.guest.subject,
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
