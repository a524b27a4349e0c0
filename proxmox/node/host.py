"""The node itself: everything it keeps, put together, and what several parts of the API need of it."""

import logging
import os
import secrets
import shutil
import time
from pathlib import Path

from proxmox.node.access.accounts import Accounts
from proxmox.node.access.authentication import Authentication
from proxmox.node.access.permissions import Permissions
from proxmox.node.access.tickets import Tickets
from proxmox.node.configs import Configs
from proxmox.node.consoles import Consoles
from proxmox.node.disks import Disks
from proxmox.node.faults import Faults
from proxmox.node.files import Files
from proxmox.node.firewall import Firewall
from proxmox.node.garbage import Garbage
from proxmox.node.guests import Guests
from proxmox.node.locks import BackupLock, ConfigLocks, StorageLocks
from proxmox.node.metrics import Metrics
from proxmox.node.options import GIB, Options
from proxmox.node.outlets import Outlets
from proxmox.node.pools import Pools
from proxmox.node.processes import Counters
from proxmox.node.releases import RELEASES
from proxmox.node.sandbox import Sandbox
from proxmox.node.statistics import Statistics
from proxmox.node.storages import LOCAL, Storages, chosen
from proxmox.node.store import Store
from proxmox.node.tasks import Tasks
from proxmox.node.usage import Usage
from proxmox.node.volumes import Volumes

REPOID = "autovibe"

logger = logging.getLogger(__name__)


class Host:
    """One embedded node on one state directory."""

    def __init__(self, options: Options) -> None:
        state = options.state
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.options = options
        self.name = options.node_name
        self.release = RELEASES[options.release]
        self.storages = Storages(state / "storages.json", chosen(options.storage, options.storage_type))
        self.started_at = time.time()
        self.sandbox = Sandbox(wanted=options.sandbox, host_paths=options.host_path)
        self.configs = Configs(state / "qemu-server", self.name, fsync=options.fsync)
        self.volumes = Volumes(state / "volumes.json", self.configs)
        self.files = Files(state / "files")
        self.uploads = state / "uploads"
        shutil.rmtree(self.uploads, ignore_errors=True)
        self.firewall = Firewall(state / "firewall", self.configs)
        self.locks = ConfigLocks(options.lock_seconds)
        self.storage_locks = StorageLocks(options.storage_lock_seconds, options.alloc_seconds)
        self.backup_lock = BackupLock()
        self.tasks = Tasks(state / "tasks", self.name)
        self.consoles = Consoles(self.tasks, options.console_seconds)
        self.pools = Pools(state / "pools.json")
        own_token = options.token or _token(state / "token")
        self.accounts = Accounts(state / "accounts.json", options.release, own_token, options.root_password)
        self.permissions = Permissions(self.accounts, self.pools)
        self.tickets = Tickets(state / "authkey")
        self.authentication = Authentication(self.accounts, self.tickets)
        self.faults = Faults(self.configs, self.storages.default.plugin)
        self.store = Store(state / "objects", fsync=options.fsync)
        self.guests = Guests(
            state / "guests",
            self.sandbox,
            Outlets(self.firewall.policy, self.firewall.connected, self.sandbox),
            boot_seconds=options.boot_seconds,
            agent_seconds=options.agent_seconds,
        )
        self.disks = Disks(self.guests, self.store, state / "trash", fsync=options.fsync)
        self.garbage = Garbage(state / "guests", self.store, seconds=options.sweep_seconds)
        self.statistics = Statistics(options.staleness_seconds)
        self.metrics = Metrics(state / "metrics.sqlite", options.release, options.metrics_seconds)
        self._usage = Usage(self.guests)
        self.guests.adopt()
        for vmid in options.unlock:
            self._unlock(vmid)
        if not self.sandbox.active:
            logger.warning(
                "Guests run as plain processes on this host: bubblewrap is not used or does not work here."
            )

    def usage(self, vmid: int) -> tuple[float, Counters]:
        """Processors in use (1.0: one core), and what was used since power-on; zeros when the guest is off."""
        return self._usage.of(vmid) if self.guests.power(vmid) != "stopped" else (0.0, Counters())

    def _unlock(self, vmid: int) -> None:
        """What `qm unlock` does on a Proxmox VE node: no token may clear a lock that a dead worker has left."""
        if vmid in self.configs:
            config = self.configs.load(vmid)
            config.values.pop("lock", None)
            self.configs.save(vmid, config)

    def storage_bytes(self) -> tuple[int, int]:
        """Total and available bytes of the file system that the node keeps its state on, or as it was told to say."""
        status = os.statvfs(self.options.state)
        total, available = status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
        if free := self.options.free_gib * GIB:
            return max(total, free), free
        return total, available

    def dump(self, storage: str) -> Path:
        """Where the backups of a directory storage are kept; those of `local` beside the directories of others."""
        return self.options.state / "dump" / ("" if storage == LOCAL else storage)

    def close(self) -> None:
        """End: tasks get a moment, and guests are shut down unless they are to be kept."""
        self.tasks.wait(seconds=5)
        if not self.options.keep_guests:
            self.guests.stop_all()


def _token(path: Path) -> str:
    """The token that the state directory keeps, made at first start; nobody but its owner may read it."""
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"autovibe@pve!local={secrets.token_hex(20)}\n")
    return path.read_text().strip()
