"""A worker that dies at a given request: a forked process that kills itself before or after it has sent it."""

import contextlib
import fnmatch
import os
import signal
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from django.db import connections
from django.utils.module_loading import import_string

from operations.models import Operation
from proxmox import connect


@dataclass(frozen=True)
class Death:
    """`before`: nothing was sent. `after`: it was sent and answered, and nobody has read the answer."""

    moment: str
    request: str  # pattern of "METHOD path"
    spared: int = 0  # so many of them pass first

    def arm(self) -> None:
        send = requests.Session.send
        left = self.spared

        def deadly(session: requests.Session, prepared: requests.PreparedRequest, **options: Any) -> Any:
            nonlocal left
            path = urlsplit(prepared.url or "").path.removeprefix("/api2/json")
            meant = fnmatch.fnmatchcase(f"{prepared.method} {path}", self.request)
            left -= meant
            if not meant or left >= 0:
                return send(session, prepared, **options)
            if self.moment == "after":
                with contextlib.suppress(requests.RequestException):
                    send(session, prepared, **options)
            os.kill(os.getpid(), signal.SIGKILL)
            return None

        requests.Session.send = deadly  # type: ignore[method-assign]


def perform(operation: Operation, death: Death | None) -> bool:
    """Carry the operation as far as it goes, in a process of its own. False when that was killed."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            if death:
                death.arm()
            connect._local = threading.local()
            import_string(operation.task)(str(operation.id))
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return not os.WIFSIGNALED(status)
