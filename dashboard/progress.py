"""How far an operation is: the steps of its plan, told as done, under way and to come."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q

from checkpoints import work as checkpoints
from checkpoints.keeping import pruning
from guests import work as guests
from machines.models import Machine
from machines.work import export, message, pause, restore_file, rollback, spawn, survey, terminate, verify
from operations.engine import Plan
from operations.models import Operation, Status

# Only their step titles are read here; carrying them out is the workers' part.
PLANS: dict[str, Plan[Any]] = {
    "spawn": spawn.PLAN,
    "pause": pause.PAUSE,
    "resume": pause.RESUME,
    "message": message.PLAN,
    "rollback": rollback.PLAN,
    "restore_file": restore_file.PLAN,
    "terminate": terminate.PLAN,
    "cancel": terminate.CANCEL,
    "checkpoint": checkpoints.TAKE,
    "verify": verify.PLAN,
    "survey": survey.PLAN,
    "export": export.PLAN,
    pruning.VERB: pruning.PRUNE,
    "drop_snapshot": guests.DROP_SNAPSHOT,
    "halt": guests.HALT,
    "destroy": guests.DESTROY,
}
TITLES = {
    "spawn": "Spawning",
    "pause": "Pausing",
    "resume": "Resuming",
    "message": "Telling its agent",
    "rollback": "Rolling back",
    "restore_file": "Bringing a file back",
    "terminate": "Ending",
    "cancel": "Calling off",
    "checkpoint": "Taking a checkpoint",
    "verify": "Verifying",
    "survey": "Looking after checkpoints",
    "export": "Exporting",
    pruning.VERB: "Pruning",
    "drop_snapshot": "Deleting a snapshot",
    "halt": "Switching off",
    "destroy": "Destroying",
}


@dataclass(frozen=True)
class Step:
    """One step: `place` is done, now, broken or later."""

    title: str
    place: str


@dataclass(frozen=True)
class Progress:
    """An operation, told to a person."""

    title: str
    steps: list[Step]
    since: datetime
    waiting: str
    error: str
    broken: bool
    operation: Operation
    needs_operator: bool = False


def under_way(machine: Machine) -> Progress | None:
    """What is being done to the machine. Automatic checkpoints are told in their own list, unless one is stuck."""
    quiet = Q(verb="checkpoint") & ~Q(status=Status.NEEDS_OPERATOR)
    active = Operation.objects.filter(subject=machine.subject).active().exclude(quiet)
    operation = active.order_by("created_at").first()
    return tell(operation) if operation else None


def tell(operation: Operation) -> Progress:
    """The operation's progress, also when it broke."""
    return Progress(
        title=TITLES.get(operation.verb, operation.verb.capitalize()),
        steps=_steps(operation),
        since=_since(operation),
        waiting=_waiting(operation),
        error=_error(operation),
        broken=operation.status == Status.FAILED,
        operation=operation,
        needs_operator=operation.status == Status.NEEDS_OPERATOR,
    )


def _since(operation: Operation) -> datetime:
    """Since when the step is under way; of one that waits for an operator, since when the operation is."""
    waits = operation.status == Status.NEEDS_OPERATOR
    return (operation.started_at if waits else operation.step_began_at) or operation.created_at


def _steps(operation: Operation) -> list[Step]:
    plan = PLANS.get(operation.verb)
    if plan is None:
        return []
    names = [step.name for step in plan.steps]
    at = names.index(operation.step) if operation.step in names else -1
    here = "broken" if operation.status in {Status.FAILED, Status.NEEDS_OPERATOR} else "now"
    return [
        Step(step.title, "done" if number < at else here if number == at else "later")
        for number, step in enumerate(plan.steps)
    ]


def _waiting(operation: Operation) -> str:
    if operation.status != Status.QUEUED or operation.step:
        return ""
    return "Waiting for a worker, and for whatever is under way in its guest."


def _error(operation: Operation) -> str:
    if operation.error and operation.attempts and not operation.ended:
        return f"{operation.error} Trying again; attempt {operation.attempts + 1}."
    return operation.error
