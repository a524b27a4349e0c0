"""Fault injection, for tests of what clients must survive: a short list of faults, each for the next matching request.

`fail` answers instead of acting, `drop` acts and closes the connection without an answer, `delay` waits first,
`kill-task` lets the worker of the task that the request starts vanish, `slow-task` lets it take longer.
"""

import fnmatch
import threading
from dataclasses import dataclass
from typing import Any

from proxmox.node.schema import Parameter, check
from proxmox.node.tasks import Task

_SCHEMA = {
    "match": Parameter(optional=False),  # "METHOD path", shell pattern, the path without /api2/json
    "action": Parameter(optional=False, enum=("fail", "drop", "delay", "kill-task", "slow-task")),
    "status": Parameter("integer", minimum=200, maximum=599),
    "reason": Parameter(),
    "seconds": Parameter("number", minimum=0),
    "times": Parameter("integer", minimum=1),
}


@dataclass
class Fault:
    match: str
    action: str
    status: int = 596
    reason: str = "Connection timed out"
    seconds: float = 0.0
    times: int = 1

    def afflict(self, task: Task) -> None:
        """What happens to the task that the request starts."""
        if self.action == "kill-task":
            task.doom()
        elif self.action == "slow-task":
            task.slow_down(self.seconds)


class Faults:
    """The faults that are still to happen, in the order they were given."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, given: dict[str, Any]) -> None:
        """Plan a fault. Raises `BadParameters`."""
        fault = Fault(**check(_SCHEMA, given))
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults = []

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that befalls this request."""
        with self._lock:
            for fault in self._faults:
                if fnmatch.fnmatchcase(f"{method} {path}", fault.match):
                    fault.times -= 1
                    self._faults = [left for left in self._faults if left.times]
                    return fault
        return None
