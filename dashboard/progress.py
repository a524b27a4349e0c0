"""How far an operation is: the steps of its plan, told as done, under way and to come."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import F, Q

from checkpoints import work as checkpoints
from checkpoints.keeping import pruning
from dashboard import words
from guests import work as guests
from machines.models import Machine
from machines.states import State
from machines.work import export, message, pause, restore_file, rollback, spawn, survey, terminate, verify
from operations import trail, usual
from operations.engine import Plan
from operations.models import Operation, Status
from operations.trail import Passage

SOON = "terminate_soon"
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
    SOON: terminate.SOON,
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
    SOON: "Ending soon",
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
    """One step: `place` is done, now, broken or later. `usual` is the median in seconds, where there is one."""

    title: str
    place: str
    passage: Passage | None = None
    usual: float | None = None

    @property
    def took(self) -> str:
        """How long it lasted, in words; "" for one that lasts, or was not noted."""
        return words.lasted(self.passage.seconds if self.passage else None)

    @property
    def usually(self) -> str:
        """How long it usually takes, in words; "" while there are too few runs."""
        return words.lasted(self.usual)


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

    @property
    def at(self) -> Step | None:
        """The step that it is at, or broke at."""
        return next((step for step in self.steps if step.place in {"now", "broken"}), None)


class Doing(NamedTuple):
    """What is being done to a machine, if anything; and what will begin its end, while that can be undone."""

    progress: Progress | None
    ending_soon: Operation | None = None


def of(machine: Machine) -> Doing:
    """What is being done to the machine, or what a failed one failed at. One query.

    Automatic checkpoints are told in their own list, unless one is stuck.
    """
    quiet = Q(verb="checkpoint") & ~Q(status=Status.NEEDS_OPERATOR)
    found = Operation.objects.filter(subject=machine.subject).exclude(quiet)
    if machine.state == State.FAILED:
        loud = found.exclude(verb=SOON)
        last = loud.order_by(F("finished_at").desc(nulls_first=True), "-created_at").first()
        return Doing(tell(last) if last and last.status != Status.SUCCEEDED else None)
    active = list(found.active().order_by("created_at"))
    first = next((operation for operation in active if operation.verb != SOON), None)
    soon = next((operation for operation in active if _can_be_undone(operation)), None)
    return Doing(tell(first) if first else None, soon)


def _can_be_undone(operation: Operation) -> bool:
    begun = operation.started_at or operation.given_up_by
    return operation.verb == SOON and not begun and operation.resume_at is not None


def title(operation: Operation) -> str:
    """What is done by it."""
    return TITLES.get(operation.verb, operation.verb.capitalize())


def error(operation: Operation) -> str:
    """What went wrong, and whether it is tried again."""
    if operation.error and operation.attempts and not operation.ended:
        return f"{operation.error} Trying again; attempt {operation.attempts + 1}."
    return operation.error


def tell(operation: Operation) -> Progress:
    """The operation's progress, also when it broke."""
    return Progress(
        title=title(operation),
        steps=_steps(operation),
        since=_since(operation),
        waiting=_waiting(operation),
        error=error(operation),
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
    gone_through = {passage.step: passage for passage in trail.passages(operation)}
    medians = {} if operation.ended else usual.steps(operation.verb)
    return [
        Step(
            step.title,
            "done" if number < at else here if number == at else "later",
            gone_through.get(step.name),
            medians.get(step.name),
        )
        for number, step in enumerate(plan.steps)
    ]


def _waiting(operation: Operation) -> str:
    if operation.status != Status.QUEUED or operation.step:
        return ""
    return "Waiting for a worker, and for whatever is under way in its guest."
