"""What led to the failure of a machine, beside the step that broke: Proxmox's tasks for it, and its last words."""

from dataclasses import dataclass

from dashboard import logs
from dashboard.logs import Line, Window
from dashboard.progress import Progress
from machines.models import Machine
from machines.states import State
from operations.models import Operation
from operations.trail import Task

LINES_SHOWN = 10


@dataclass(frozen=True)
class Failure:
    """`tasks` are those of the step that broke, `lines` the last that its agent printed; either may be empty."""

    operation: Operation | None
    tasks: list[Task]
    lines: list[Line]


def of(machine: Machine, progress: Progress | None, log: Window | None) -> Failure | None:
    """Of a machine that has failed, and that nothing is being done to; None for any other.

    `log` is what the page shows of its log anyway; without it, a query.
    """
    if machine.state != State.FAILED or (progress and not progress.broken):
        return None
    operation = progress.operation if progress else None
    known = log if log and not log.newer else logs.latest(machine, LINES_SHOWN)
    return Failure(operation, _tasks(progress) if progress else [], known.lines[-LINES_SHOWN:])


def _tasks(progress: Progress) -> list[Task]:
    if progress.at and progress.at.passage:
        return list(progress.at.passage.tasks)
    own = progress.operation
    return [Task(own.upid, own.task_result, "")] if own.upid else []
