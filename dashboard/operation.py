"""One operation, told to a person: how far it is, what it waits for, how long that usually takes, and how it ended."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from dashboard import progress, words
from dashboard.look import Look
from dashboard.progress import PLANS
from dashboard.things import Thing
from operations import trail
from operations.models import Operation, Status
from operations.trail import Passage

LONG = 2  # times the usual is longer than usual

LOOKS: dict[str, Look] = {
    Status.QUEUED: Look("neutral", "clock"),
    Status.RUNNING: Look("info", "turn", busy=True),
    Status.WAITING: Look("info", "turn", busy=True),
    Status.NEEDS_OPERATOR: Look("warn", "warn"),
    Status.SUCCEEDED: Look("ok", "check"),
    Status.FAILED: Look("bad", "cross"),
}
WORDS: dict[str, str] = {
    Status.QUEUED: "Queued",
    Status.RUNNING: "Under way",
    Status.WAITING: "Under way",
    Status.NEEDS_OPERATOR: "Needs an operator",
    Status.SUCCEEDED: "Succeeded",
    Status.FAILED: "Failed",
}


@dataclass(frozen=True)
class Row:
    """An operation in a list. `act` is how its end may be asked for: "cancel", "give_up", or "" for not at all."""

    operation: Operation
    thing: Thing
    slug: str
    title: str
    look: Look
    word: str
    number: int
    of: int
    sentence: str
    usual: float | None
    act: str

    @property
    def since(self) -> datetime:
        """When the work began, or was asked for where it has not."""
        return self.operation.started_at or self.operation.created_at

    @property
    def usually(self) -> str:
        """The median of the last runs, in words; "" while there are too few."""
        return words.lasted(self.usual)

    @property
    def took(self) -> str:
        """How long the work lasted, in words; "" where it never began or has not ended."""
        began, done = self.operation.started_at, self.operation.finished_at
        return words.lasted((done - began).total_seconds()) if began and done else ""

    @property
    def slow(self) -> bool:
        """Whether it takes, or took, at least twice as long as usual."""
        if self.usual is None or self.operation.started_at is None:
            return False
        until = self.operation.finished_at or timezone.now()
        return (until - self.operation.started_at).total_seconds() > LONG * max(self.usual, 1)


@dataclass(frozen=True)
class Line:
    """A step of an operation: `place` is done, now, broken, later or skipped; `passage` is what is known of it."""

    title: str
    place: str
    passage: Passage | None

    @property
    def broken(self) -> bool:
        return self.place == "broken"

    @property
    def took(self) -> str:
        """How long it lasted, in words; "" for one that lasts, or was not entered."""
        return words.lasted(self.passage.seconds if self.passage else None)


def told(
    operation: Operation,
    *,
    thing: Thing,
    slug: str,
    usual: float | None,
    operable: bool,
    holder: Operation | None = None,
) -> Row:
    """The operation as lists show it; `holder` is the one that has its lock."""
    names = [step.name for step in _steps(operation)]
    return Row(
        operation=operation,
        thing=thing,
        slug=slug,
        title=progress.title(operation),
        look=LOOKS[operation.status],
        word=WORDS[operation.status],
        number=names.index(operation.step) + 1 if operation.step in names else 0,
        of=len(names),
        sentence=_sentence(operation, holder),
        usual=usual,
        act=_act(operation) if operable else "",
    )


def lines(operation: Operation) -> list[Line]:
    """Its steps, in the order of the plan; none where they were not noted, because it began before that was done.

    One that was entered again, on another way, stands there once, as it was the last time.
    """
    if operation.step and not operation.trail:
        return []
    gone_through = {passage.step: passage for passage in trail.passages(operation)}
    titles = {step.name: step.title for step in _steps(operation)}
    unknown = {name: name for name in gone_through if name not in titles}
    return [
        Line(title, _place(operation, name, gone_through), gone_through.get(name))
        for name, title in (titles | unknown).items()
    ]


def _place(operation: Operation, name: str, gone_through: dict[str, Passage]) -> str:
    if name == operation.step and operation.status != Status.SUCCEEDED:
        return "broken" if operation.status in {Status.FAILED, Status.NEEDS_OPERATOR} else "now"
    if name in gone_through or name == operation.step:
        return "done"
    return "skipped" if _is_passed(operation, name) else "later"


def _is_passed(operation: Operation, name: str) -> bool:
    """Whether the operation is further, and went by without it: there was nothing to do."""
    if operation.status == Status.SUCCEEDED:
        return True
    names = [step.name for step in _steps(operation)]
    return operation.step in names and names.index(name) < names.index(operation.step)


def _steps(operation: Operation) -> tuple[Any, ...]:
    plan = PLANS.get(operation.verb)
    return plan.steps if plan else ()


def _sentence(operation: Operation, holder: Operation | None) -> str:
    """What it is at or waits for, or what went wrong."""
    if operation.status == Status.SUCCEEDED:
        return operation.warnings.strip()
    if operation.error:
        return progress.error(operation)
    if operation.status == Status.QUEUED and not operation.started_at:
        return _queued(operation, holder)
    title = next((step.title for step in _steps(operation) if step.name == operation.step), "")
    return f"{title}." if title else ""


def _queued(operation: Operation, holder: Operation | None) -> str:
    if holder is None:
        return "Waiting for a worker."
    doing = progress.title(holder).lower()
    return f"Waiting for its turn: {doing} is under way on the same VM, and Proxmox makes one change to a VM at a time."


def _act(operation: Operation) -> str:
    if operation.given_up_by:
        return ""
    if operation.status in {Status.QUEUED, Status.WAITING} and operation.started_at is None:
        return "cancel"
    return "give_up" if operation.status == Status.NEEDS_OPERATOR else ""
