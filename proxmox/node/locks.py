"""The lock on a VM's configuration file, shared or exclusive, with Proxmox's waiting times and its words.

Proxmox uses flock on `/var/lock/qemu-server`; one process needs none of that, but clients know the sentence.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from proxmox.node.errors import Failure


@dataclass
class _Holders:
    shared: int = 0
    exclusive: bool = False

    def admits(self, shared: bool) -> bool:
        return not self.exclusive and (shared or not self.shared)


class Held:
    """A lock that is held. May be released by another thread than the one that took it: a clone's worker does."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release

    def release(self) -> None:
        """Let go; a second call does nothing."""
        release, self._release = self._release, None
        if release:
            release()

    def __enter__(self) -> "Held":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class ConfigLocks:
    """One readers-writer lock per VMID."""

    def __init__(self, wait_seconds: float) -> None:
        """`wait_seconds`: how long `hold` waits unless told otherwise; Proxmox waits 10 s."""
        self._wait_seconds = wait_seconds
        self._changed = threading.Condition()
        self._holders: defaultdict[int, _Holders] = defaultdict(_Holders)

    def hold(
        self,
        vmid: int,
        *,
        shared: bool = False,
        seconds: float | None = None,
        on_wait: Callable[[], None] | None = None,
    ) -> Held:
        """Take the lock; `on_wait` is called once when it is not free. Raises `Failure` after the time is over."""
        deadline = time.monotonic() + (self._wait_seconds if seconds is None else seconds)
        with self._changed:
            if not self._holders[vmid].admits(shared) and on_wait:
                on_wait()
            while not self._holders[vmid].admits(shared):
                if not self._changed.wait(deadline - time.monotonic()):
                    raise Failure(f"can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout")
            self._take(vmid, shared)
        return Held(lambda: self._let_go(vmid, shared))

    def _take(self, vmid: int, shared: bool) -> None:
        holders = self._holders[vmid]
        if shared:
            holders.shared += 1
        else:
            holders.exclusive = True

    def _let_go(self, vmid: int, shared: bool) -> None:
        with self._changed:
            holders = self._holders[vmid]
            if shared:
                holders.shared -= 1
            else:
                holders.exclusive = False
            if holders == _Holders():
                del self._holders[vmid]
            self._changed.notify_all()
