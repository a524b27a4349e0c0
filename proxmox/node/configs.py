"""VM configurations: one JSON file each, with pending changes and a copy of the configuration per snapshot."""

import copy
import hashlib
import json
import math
import os
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from proxmox.node.errors import Failure

Values = dict[str, Any]


@dataclass
class Config:
    """A VM's configuration. Values are integers or strings, as the API shows them."""

    values: Values = field(default_factory=dict)
    pending: Values = field(default_factory=dict)  # takes effect at the next cold start; None deletes
    snapshots: dict[str, Values] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-1 of the whole configuration; clients send it back to notice other writers."""
        return hashlib.sha1(
            json.dumps(asdict(self), sort_keys=True).encode(), usedforsecurity=False
        ).hexdigest()

    def check_lock(self) -> None:
        """Raises `Failure` when an operation has the VM locked, or had when its worker died."""
        if lock := self.values.get("lock"):
            raise Failure(f"VM is locked ({lock})")

    def snapshot(self, name: str) -> Values:
        """The configuration kept with a snapshot. Raises `Failure` when there is no such snapshot."""
        if name not in self.snapshots:
            raise Failure(f"snapshot '{name}' does not exist")
        return self.snapshots[name]

    def apply_pending(self) -> None:
        """What was pending becomes what is."""
        self.values |= self.pending
        for key in [key for key, value in self.pending.items() if value is None]:
            self.values.pop(key, None)
        self.pending = {}


class Configs:
    """All configurations of the node, in memory and on disk."""

    def __init__(self, directory: Path, node: str, *, fsync: bool) -> None:
        self._directory = directory
        self._node = node
        self._fsync = fsync
        self._lock = threading.Lock()
        self._made_at: dict[int, float] = {}
        directory.mkdir(parents=True, exist_ok=True)
        self._configs = {
            int(path.stem): Config(**json.loads(path.read_text(encoding="utf-8")))
            for path in directory.glob("*.json")
        }

    def __contains__(self, vmid: int) -> bool:
        return vmid in self._configs

    def all(self) -> dict[int, Config]:
        """Every configuration by VMID, for reading only."""
        return dict(sorted(self._configs.copy().items()))

    def age(self, vmid: int) -> float:
        """Seconds since a VM was made; infinite for one that was there when the node began."""
        return time.monotonic() - self._made_at.get(vmid, -math.inf)

    def view(self, vmid: int) -> Config:
        """A configuration, for reading only. Raises `Failure`."""
        try:
            return self._configs[vmid]
        except KeyError:
            path = f"nodes/{self._node}/qemu-server/{vmid}.conf"
            raise Failure(f"Configuration file '{path}' does not exist") from None

    def load(self, vmid: int) -> Config:
        """A copy of a configuration, to be changed and given to `save`. Raises `Failure`."""
        return copy.deepcopy(self.view(vmid))

    def save(self, vmid: int, config: Config) -> None:
        """Write a configuration; a crash leaves either the old or the new one."""
        path = self._directory / f"{vmid}.json"
        fresh = path.with_suffix(f".{threading.get_native_id()}")
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(asdict(config), file)
            if self._fsync:
                file.flush()
                os.fsync(file.fileno())
        with self._lock:
            fresh.rename(path)
            self._configs[vmid] = copy.deepcopy(config)

    def create(self, vmid: int, config: Config) -> bool:
        """Save a new configuration; False when the VMID is taken."""
        with self._lock:
            if vmid in self._configs:
                return False
            self._configs[vmid] = Config()  # holds the place
            self._made_at[vmid] = time.monotonic()
        self.save(vmid, config)
        return True

    def delete(self, vmid: int) -> None:
        """Forget a VM."""
        with self._lock:
            (self._directory / f"{vmid}.json").unlink(missing_ok=True)
            self._configs.pop(vmid, None)
