"""The node itself: everything it keeps, put together, and what several parts of the API need of it."""

import logging
import os
import secrets
import threading
import time
from pathlib import Path

from proxmox.node import processes
from proxmox.node.configs import Configs
from proxmox.node.disks import Disks
from proxmox.node.faults import Faults
from proxmox.node.garbage import Garbage
from proxmox.node.guests import Guests
from proxmox.node.locks import ConfigLocks
from proxmox.node.options import Options
from proxmox.node.personalities import PERSONALITIES
from proxmox.node.pools import Pools
from proxmox.node.sandbox import Sandbox
from proxmox.node.store import Store
from proxmox.node.tasks import Tasks

VERSION = "9.2.11"  # the Proxmox VE whose answers this one gives
RELEASE = "9.2"
REPOID = "autovibe"
USAGE_SECONDS = 1.0  # how old figures of processor and memory may be

logger = logging.getLogger(__name__)


class Host:
    """One embedded node on one state directory."""

    def __init__(self, options: Options) -> None:
        state = options.state
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.options = options
        self.name = options.node_name
        self.personality = PERSONALITIES[options.storage_type]
        self.token = options.token or _token(state / "token")
        self.started_at = time.time()
        self.sandbox = Sandbox(wanted=options.sandbox, host_paths=options.host_path)
        self.configs = Configs(state / "qemu-server", self.name, fsync=options.fsync)
        self.locks = ConfigLocks(options.lock_seconds)
        self.tasks = Tasks(state / "tasks", self.name)
        self.pools = Pools(state / "pools.json")
        self.faults = Faults()
        self.dump = state / "dump"
        self.dump.mkdir(exist_ok=True)
        self.store = Store(state / "objects", fsync=options.fsync)
        self.guests = Guests(
            state / "guests",
            self.sandbox,
            boot_seconds=options.boot_seconds,
            agent_seconds=options.agent_seconds,
        )
        self.disks = Disks(self.guests, self.store, state / "trash", fsync=options.fsync)
        self.garbage = Garbage(state / "guests", self.store, seconds=options.sweep_seconds)
        self._usage = _Usage(self.guests)
        self.guests.adopt()
        for vmid in options.unlock:
            self._unlock(vmid)
        if not self.sandbox.active:
            logger.warning(
                "Guests run as plain processes on this host: bubblewrap is not used or does not work here."
            )

    def usage(self, vmid: int) -> tuple[float, int]:
        """Processors in use (1.0: one core) and bytes of memory; zeros when the guest is off."""
        return self._usage.of(vmid) if self.guests.power(vmid) != "stopped" else (0.0, 0)

    def _unlock(self, vmid: int) -> None:
        """What `qm unlock` does on a Proxmox VE node: no token may clear a lock that a dead worker has left."""
        if vmid in self.configs:
            config = self.configs.load(vmid)
            config.values.pop("lock", None)
            self.configs.save(vmid, config)

    def storage_bytes(self) -> tuple[int, int]:
        """Total and available bytes of the file system that the node keeps its state on."""
        status = os.statvfs(self.options.state)
        return status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize

    def close(self) -> None:
        """End: tasks get a moment, and guests are shut down unless they are to be kept."""
        self.tasks.wait(seconds=5)
        if not self.options.keep_guests:
            self.guests.stop_all()


class _Usage:
    """What guests use, from two readings of the process table at least a second apart."""

    def __init__(self, guests: Guests) -> None:
        self._guests = guests
        self._lock = threading.Lock()
        self._read_at = 0.0
        self._seconds: dict[int, float] = {}
        self._now: dict[int, tuple[float, int]] = {}

    def of(self, vmid: int) -> tuple[float, int]:
        with self._lock:
            if time.monotonic() - self._read_at >= USAGE_SECONDS:
                self._read()
            return self._now.get(vmid, (0.0, 0))

    def _read(self) -> None:
        now = time.monotonic()
        used, elapsed = self._guests.usage(processes.table()), now - self._read_at
        self._now = {
            vmid: (max(0.0, seconds - self._seconds.get(vmid, seconds)) / elapsed, memory)
            for vmid, (seconds, memory) in used.items()
        }
        self._seconds = {vmid: seconds for vmid, (seconds, _) in used.items()}
        self._read_at = now


def _token(path: Path) -> str:
    """The token that the state directory keeps, made at first start; nobody but its owner may read it."""
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"autovibe@pve!local={secrets.token_hex(20)}\n")
    return path.read_text().strip()
