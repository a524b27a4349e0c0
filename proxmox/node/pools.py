"""Resource pools: a name, a comment, and the VMs in it. Membership follows the VM: a destroyed one leaves its pool."""

import json
import threading
from pathlib import Path
from typing import Any

from proxmox.node.errors import Failure


class Pools:
    """The node's pools, in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._pools: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}

    def __contains__(self, pool: str) -> bool:
        return pool in self._pools

    def names(self) -> list[str]:
        return sorted(self._pools)

    def comment(self, pool: str) -> str:
        return str(self._get(pool).get("comment", ""))

    def members(self, pool: str) -> list[int]:
        """VMIDs in a pool. Raises `Failure` when there is no such pool."""
        return sorted(self._get(pool)["vms"])

    def of(self, vmid: int) -> str:
        """The pool that a VM is in, or an empty string."""
        return next((name for name, pool in self._pools.copy().items() if vmid in pool["vms"]), "")

    def create(self, pool: str, comment: str) -> None:
        with self._lock:
            if pool in self._pools:
                raise Failure(f"create pool failed: pool '{pool}' already exists")
            self._pools[pool] = {"comment": comment, "vms": []}
            self._save()

    def delete(self, pool: str) -> None:
        with self._lock:
            if pool not in self._pools:
                raise Failure(f"delete pool failed: pool '{pool}' does not exist")
            if members := self.members(pool):
                raise Failure(f"delete pool failed: pool '{pool}' is not empty (contains VM {members[0]})")
            del self._pools[pool]
            self._save()

    def describe(self, pool: str, comment: str) -> None:
        with self._lock:
            self._get(pool)["comment"] = comment
            self._save()

    def add(self, pool: str, vmid: int) -> None:
        """Put a VM into a pool; it must not be in another."""
        with self._lock:
            if (already := self.of(vmid)) and already != pool:
                raise Failure(f"update pools failed: VM {vmid} is already a pool member")
            if vmid not in self._get(pool)["vms"]:
                self._get(pool)["vms"].append(vmid)
                self._save()

    def remove(self, vmid: int) -> None:
        """Take a VM out of its pool, if it is in one."""
        with self._lock:
            if pool := self.of(vmid):
                self._pools[pool]["vms"].remove(vmid)
                self._save()

    def _get(self, pool: str) -> dict[str, Any]:
        if pool not in self._pools:
            raise Failure(f"pool '{pool}' does not exist")
        return self._pools[pool]

    def _save(self) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(self._pools))
        fresh.rename(self._path)
