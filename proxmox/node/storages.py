"""The node's storages: those it was started with, and directories that were added over the API."""

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from proxmox.node.errors import Failure
from proxmox.node.personalities import FILES, PERSONALITIES, Personality, directory

LOCAL = "local"  # the directory that every node has: backups and images to import

_ID = re.compile(r"[A-Za-z][\w.\-]*[A-Za-z0-9]", re.ASCII)  # pve-storage: parse_storage_id


def chosen(wanted: Sequence[str], kind: str) -> list[Personality]:
    """Storages as the command line names them, `NAME=KIND` or `KIND`; without any, one of `kind`. Raises ValueError."""
    storages = [_of(text) for text in wanted or (kind,)]
    names = [storage.storage for storage in storages]
    if repeated := next((name for name in names if names.count(name) > 1), ""):
        raise ValueError(f"two storages have the name '{repeated}'")
    if LOCAL not in names:
        storages.append(directory(LOCAL, "/var/lib/vz", FILES))
    return storages


def _of(text: str) -> Personality:
    name, _, kind = text.rpartition("=")
    if kind not in PERSONALITIES:
        raise ValueError(f"'{kind}' is no kind of storage: {', '.join(PERSONALITIES)}")
    if name and not _ID.fullmatch(name):
        raise ValueError(f"storage ID '{name}' contains illegal characters")
    found = PERSONALITIES[kind]
    if not name or name == found.storage:
        return found
    return replace(found, storage=name, path=f"/var/lib/{name}" if found.path else "")


class Storages:
    """Every storage by name. What the API changed about them is kept in one file."""

    def __init__(self, path: Path, started_with: list[Personality]) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._started_with = {storage.storage: storage for storage in started_with}
        self._changes: dict[str, dict[str, Any] | None] = (
            json.loads(path.read_text()) if path.exists() else {}
        )

    @property
    def default(self) -> Personality:
        """Where the first template is put."""
        return next(iter(self._started_with.values()))

    def all(self) -> list[Personality]:
        """Every storage, in the order of their names."""
        known = dict(self._started_with)
        for name, change in self._changes.copy().items():
            if change is None:
                known.pop(name, None)
            else:
                known[name] = _changed(known.get(name), name, change)
        return [known[name] for name in sorted(known)]

    def __contains__(self, name: str) -> bool:
        return any(storage.storage == name for storage in self.all())

    def get(self, name: str) -> Personality:
        """A storage. Raises `Failure`."""
        for storage in self.all():
            if storage.storage == name:
                return storage
        raise Failure(f"storage '{name}' does not exist")

    def of(self, volume: str) -> Personality:
        """The storage that a volume is on. Raises `Failure`."""
        return self.get(volume.partition(":")[0])

    def change(self, name: str, change: dict[str, Any]) -> None:
        """Add a directory, or set the content of a storage."""
        with self._lock:
            self._changes[name] = (self._changes.get(name) or {}) | change
            self._save()

    def remove(self, name: str) -> None:
        """Forget a storage, whatever uses it; a storage of the command line stays forgotten."""
        with self._lock:
            self._changes[name] = None
            self._save()

    def _save(self) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(self._changes))
        fresh.rename(self._path)


def _changed(storage: Personality | None, name: str, change: dict[str, Any]) -> Personality:
    base = storage or directory(name, change["path"], "images", chain=bool(change.get("chain")))
    return replace(base, content=change.get("content", base.content))
