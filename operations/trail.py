"""The trail of an operation: which steps it entered and when, and what Proxmox's tasks for them came to.

The row carries it, and every entry is written in a statement that is made anyway. What it means is told elsewhere.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.utils import timezone

from operations.models import Operation

Rows = list[dict[str, Any]]


class Task(NamedTuple):
    """A Proxmox task: `result` is its exit status, "" before its end was seen; `log` is kept if that is not OK."""

    upid: str
    result: str
    log: str


class Passage(NamedTuple):
    """A step on the way: when it was entered and left, and the tasks that were made for it, oldest first."""

    step: str
    began_at: datetime
    ended_at: datetime | None
    tasks: Sequence[Task]

    @property
    def seconds(self) -> float | None:
        """How long it lasted; None for one that lasts."""
        return (self.ended_at - self.began_at).total_seconds() if self.ended_at else None


def entered(operation: Operation, step: str) -> Rows:
    """The trail with one step more."""
    return [*operation.trail, {"step": step, "at": timezone.now().isoformat(), "tasks": []}]


def judged(operation: Operation, task: Task) -> Rows:
    """The trail with what became of a task of the present step."""
    if not operation.trail:  # it was under way when trails began
        return []
    *before, last = operation.trail
    return [*before, last | {"tasks": [*last["tasks"], task._asdict()]}]


def passages(operation: Operation) -> list[Passage]:
    """The steps that were entered, with the task that is under way, if one is."""
    found = [_passage(row) for row in operation.trail]
    ends = [passage.began_at for passage in found[1:]] + [operation.finished_at]
    whole = [passage._replace(ended_at=end) for passage, end in zip(found, ends, strict=False)]
    if whole and operation.upid:
        now = Task(operation.upid, operation.task_result, "")
        whole[-1] = whole[-1]._replace(tasks=[*whole[-1].tasks, now])
    return whole


def _passage(row: dict[str, Any]) -> Passage:
    tasks = [Task(**task) for task in row["tasks"]]
    return Passage(row["step"], datetime.fromisoformat(row["at"]), None, tasks)
