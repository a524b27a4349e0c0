"""UPIDs: how Proxmox names a task. `UPID:node:pid:pstart:starttime:type:id:user:`, numbers in hexadecimal."""

import os
import re
import threading
import time
from dataclasses import dataclass
from typing import Any

_PATTERN = re.compile(
    r"UPID:([A-Za-z0-9][A-Za-z0-9\-]*):([0-9A-F]{8}):([0-9A-F]{8,9}):([0-9A-F]{8}):([^:\s/]+):([^:\s/]*):([^:\s/]+):"
)


@dataclass(frozen=True, slots=True)
class Upid:
    node: str
    pid: int
    pstart: int
    starttime: int
    kind: str
    id: str
    user: str  # user@realm or user@realm!token

    def __str__(self) -> str:
        numbers = f"{self.pid:08X}:{self.pstart:08X}:{self.starttime:08X}"
        return f"UPID:{self.node}:{numbers}:{self.kind}:{self.id}:{self.user}:"

    def described(self) -> dict[str, Any]:
        """The fields as the task endpoints give them."""
        user, _, token = self.user.partition("!")
        fields: dict[str, Any] = {
            "upid": str(self),
            "node": self.node,
            "pid": self.pid,
            "pstart": self.pstart,
            "starttime": self.starttime,
            "type": self.kind,
            "id": self.id,
            "user": user,
        }
        return fields | ({"tokenid": token} if token else {})


def parse(text: str) -> Upid | None:
    """The UPID that `text` is, or None."""
    match = _PATTERN.fullmatch(text)
    if not match:
        return None
    node, pid, pstart, starttime, kind, subject, user = match.groups()
    return Upid(node, int(pid, 16), int(pstart, 16), int(starttime, 16), kind, subject, user)


def of_this_thread(node: str, kind: str, subject: str, user: str) -> Upid:
    """A fresh UPID for work on the calling thread; the thread's own id and start time make it unique."""
    thread = threading.get_native_id()
    return Upid(node, thread, _thread_started(thread), int(time.time()), kind, subject, user)


def _thread_started(thread: int) -> int:
    """When the thread was started, in clock ticks since boot (proc(5): field 22 of stat)."""
    try:
        with open(f"/proc/self/task/{thread}/stat", encoding="ascii", errors="replace") as stat:
            return int(stat.read().rpartition(")")[2].split()[19])
    except OSError:
        return int(time.monotonic() * os.sysconf("SC_CLK_TCK")) & 0xFFFFFFFF
