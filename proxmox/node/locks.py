"""The locks that Proxmox takes on files: a VM's configuration, shared or exclusive; a storage; the backup job.

Proxmox uses flock below /var/lock and /var/run; one process needs none of that, but clients know its waiting times
and its words.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from proxmox.node.errors import Failure

_SLICE_SECONDS = 0.2  # how soon somebody who waits notices that he is told to stop


class Waiter(Protocol):
    """Who wants a lock: he can be told to stop waiting, and where he keeps a log, it tells of it."""

    def log(self, line: str) -> None: ...

    def check_signals(self) -> None: ...

    def pause(self, seconds: float) -> None: ...


@dataclass
class _Holders:
    shared: int = 0
    exclusive: bool = False

    def admits(self, shared: bool) -> bool:
        return not self.exclusive and (shared or not self.shared)


class Held:
    """A lock that is held. Another thread than the one that took it may release it."""

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


class FileLocks:
    """Readers-writer locks by the path of the file that Proxmox would lock."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders: defaultdict[str, _Holders] = defaultdict(_Holders)

    def hold(self, path: str, seconds: float, *, shared: bool = False, waiter: Waiter | None = None) -> Held:
        """Take a lock. Raises `Failure` after `seconds`, and what the waiter raises when it is told to stop."""
        with self._changed:
            if not self._holders[path].admits(shared):
                self._await(path, shared, time.monotonic() + seconds, waiter)
            self._take(path, shared)
        return Held(lambda: self._let_go(path, shared))

    def _await(self, path: str, shared: bool, deadline: float, waiter: Waiter | None) -> None:
        """Wait, with the lines that PVE::Tools::lock_file_full prints."""
        if waiter:
            waiter.log("trying to acquire lock...")
        while not self._holders[path].admits(shared):
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure(f"can't lock file '{path}' - got timeout")
            self._changed.wait(min(left, _SLICE_SECONDS))
            if waiter:
                waiter.check_signals()
        if waiter:
            waiter.log(" OK")

    def _take(self, path: str, shared: bool) -> None:
        holders = self._holders[path]
        if shared:
            holders.shared += 1
        else:
            holders.exclusive = True

    def _let_go(self, path: str, shared: bool) -> None:
        with self._changed:
            holders = self._holders[path]
            if shared:
                holders.shared -= 1
            else:
                holders.exclusive = False
            if holders == _Holders():
                del self._holders[path]
            self._changed.notify_all()


class ConfigLocks:
    """One lock per VMID, on its configuration file."""

    def __init__(self, wait_seconds: float) -> None:
        """`wait_seconds`: how long `hold` waits unless told otherwise; Proxmox waits 10 s."""
        self._wait_seconds = wait_seconds
        self._files = FileLocks()

    def hold(
        self,
        vmid: int,
        *,
        shared: bool = False,
        seconds: float | None = None,
        waiter: Waiter | None = None,
    ) -> Held:
        """Take the lock. Raises `Failure` after the time is over."""
        seconds = self._wait_seconds if seconds is None else seconds
        path = f"/var/lock/qemu-server/lock-{vmid}.conf"
        return self._files.hold(path, seconds, shared=shared, waiter=waiter)

    def linger(self, vmid: int, seconds: float) -> None:
        """Hold the lock for a while as soon as it is free, as `qm cleanup` does behind a VM that came back."""

        def clean_up() -> None:
            with self.hold(vmid, seconds=60):
                time.sleep(seconds)

        threading.Thread(target=clean_up, name=f"cleanup-{vmid}", daemon=True).start()


class StorageLocks:
    """One lock per storage, held while a volume is made, linked, converted or freed (PVE::Storage)."""

    def __init__(self, wait_seconds: float, alloc_seconds: float) -> None:
        """`wait_seconds`: Proxmox waits 10 s; `alloc_seconds`: how long making or linking a volume takes."""
        self._wait_seconds = wait_seconds
        self._alloc_seconds = alloc_seconds
        self._files = FileLocks()

    @contextmanager
    def allocating(self, storage: str, waiter: Waiter) -> Iterator[None]:
        """Hold a storage while a volume is allocated on it. Raises `Failure` when that is not to be had in time."""
        path = f"/var/lock/pve-manager/pve-storage-{storage}"
        with self._files.hold(path, self._wait_seconds, waiter=waiter):
            if self._alloc_seconds:
                waiter.pause(self._alloc_seconds)
            yield


class BackupLock:
    """One backup job at a time on a node (PVE::VZDump: getlock)."""

    PATH = "/var/run/vzdump.lock"

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, seconds: float, waiter: Waiter) -> Iterator[None]:
        """Wait for the job before. Raises `TimeoutError` after `seconds`."""
        if not self._lock.acquire(blocking=False):
            waiter.log("INFO: trying to get global lock - waiting...")
            self._await(time.monotonic() + seconds, waiter)
            waiter.log("INFO: got global lock")
        try:
            yield
        finally:
            self._lock.release()

    def _await(self, deadline: float, waiter: Waiter) -> None:
        while not self._lock.acquire(timeout=_SLICE_SECONDS):
            waiter.check_signals()
            if time.monotonic() > deadline:
                waiter.log(f"ERROR: can't acquire lock '{self.PATH}' - got timeout")
                raise TimeoutError
