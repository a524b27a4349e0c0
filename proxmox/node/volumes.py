"""Disk volumes: those in VMs' configurations, those allocated by themselves, and those deleted from under a VM.

A guest has one directory, whatever disks its configuration names: it is the content of the first of them.
"""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from proxmox.node import drives
from proxmox.node.configs import Config, Configs


class Volumes:
    """What exists on the storages besides files."""

    def __init__(self, path: Path, configs: Configs) -> None:
        self._path = path
        self._configs = configs
        self._lock = threading.Lock()
        kept = json.loads(path.read_text()) if path.exists() else {}
        self._alone: dict[str, dict[str, int]] = kept.get("alone", {})
        self._gone: set[str] = set(kept.get("gone", ()))

    def exists(self, volume: str) -> bool:
        """Whether there is such a volume."""
        return any(row["volid"] == volume for row in self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """Every volume: volid, vmid, size and ctime."""
        found: dict[str, dict[str, Any]] = {}
        for vmid, config in self._configs.all().items():
            for volume, size in _named(config):
                found.setdefault(volume, {"volid": volume, "vmid": vmid, "size": size, "ctime": 0})
        for volume, row in self._alone.copy().items():
            found[volume] = {"volid": volume, **row, "size": found.get(volume, row)["size"]}
        return [row for volume, row in sorted(found.items()) if volume not in self._gone]

    def allocate(self, volume: str, vmid: int, size: int) -> None:
        """A volume that no VM has yet."""
        with self._lock:
            self._gone.discard(volume)
            self._alone[volume] = {"vmid": vmid, "size": size, "ctime": int(time.time())}
            self._save()

    def made(self, volume: str) -> None:
        """A volume that a VM's configuration is about to name."""
        if volume in self._gone:
            with self._lock:
                self._gone.discard(volume)
                self._save()

    def free(self, volume: str) -> None:
        """Delete a volume, even one that a VM's configuration names: Proxmox does not look."""
        named = {name for config in self._configs.all().values() for name, _ in _named(config)}
        with self._lock:
            self._alone.pop(volume, None)
            self._gone |= {volume} & named
            self._save()

    def forget(self, vmid: int) -> None:
        """Delete what a VM that is destroyed has on the storages."""
        config = self._configs.all().get(vmid, Config())
        named = {volume for volume, _ in _named(config)}
        with self._lock:
            self._alone = {volume: row for volume, row in self._alone.items() if volume not in named}
            self._gone -= named
            self._save()

    def unused_number(self, vmid: int, taken: set[str]) -> int:
        """The lowest number of a disk that neither a volume of the VM nor one in `taken` has."""
        names = {row["volid"] for row in self.rows() if row["vmid"] == vmid} | taken
        stems = {_stem(name) for name in names}
        return next(n for n in range(1000) if not any(stem.endswith(f"-{vmid}-disk-{n}") for stem in stems))

    def _save(self) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({"alone": self._alone, "gone": sorted(self._gone)}))
        fresh.rename(self._path)


def _stem(volume: str) -> str:
    """A volume's last name without its format."""
    return volume.rpartition("/")[2].partition(".")[0]


def _named(config: Config) -> Iterator[tuple[str, int]]:
    """Volumes and sizes in a configuration and its snapshots."""
    for values in (config.values, config.pending, *config.snapshots.values()):
        for drive in drives.volumes(values):
            yield drive.volume, drive.size_bytes
