"""Consoles on offer: a port of 5900–5999 each, which a WebSocket has to claim within ten seconds.

The port is a number only: nothing listens there. What goes through the WebSocket is `terminal`'s and `vnc`'s.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from proxmox.node.errors import Failure
from proxmox.node.tasks import Task, Tasks

PORTS = range(5900, 6000)


@dataclass(eq=False)
class Session:
    """One console, from the offer until it is closed."""

    port: int
    vmid: int
    user: str
    kind: str  # termproxy or vncproxy
    serial: str = ""  # which line was asked for
    claimed: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    hang_up: Callable[[], None] = lambda: None  # how its WebSocket is closed from another thread

    @property
    def path(self) -> str:
        """What its ticket is good for."""
        return f"/vms/{self.vmid}"


class Consoles:
    """All consoles of the node."""

    def __init__(self, tasks: Tasks, seconds: float) -> None:
        """`seconds`: how long an offer stands."""
        self._tasks = tasks
        self._seconds = seconds
        self._lock = threading.Lock()
        self._sessions: dict[int, Session] = {}

    def offer(self, vmid: int, user: str, kind: str, serial: str = "") -> tuple[Session, str]:
        """A new console, and the UPID of the task that lives as long as it. Raises `Failure`."""
        with self._lock:
            port = next((port for port in PORTS if port not in self._sessions), None)
            if port is None:
                raise Failure("unable to find free port (5900-5999)")
            session = self._sessions[port] = Session(port, vmid, user, kind, serial)
        return session, self._tasks.start("vncproxy", vmid, user, lambda task: self._attend(session, task))

    def claim(self, port: int, vmid: int, user: str) -> Session:
        """The console on a port, for the one WebSocket that it takes. Raises `Failure`."""
        with self._lock:
            session = self._sessions.get(port)
            fits = session and (session.vmid, session.user) == (vmid, user) and not session.claimed.is_set()
            if not session or not fits:
                raise Failure(f"connect to 'localhost:{port}' failed: Connection refused")
            session.claimed.set()
            return session

    def _attend(self, session: Session, task: Task) -> None:
        """What the worker does: wait for the client, then for the end."""
        try:
            if not session.claimed.wait(self._seconds):
                raise Failure(
                    f"command '/usr/bin/{session.kind} {session.port}' failed: connection timed out"
                )
            while not session.ended.wait(0.1):
                task.check_signals()
        finally:
            session.hang_up()
            with self._lock:
                del self._sessions[session.port]
