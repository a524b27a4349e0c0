"""A guest's disk over its life: snapshots and rollback, clones, templates, destruction.

Per guest: `disk/` (its files), `snapshots/<name>` and `base` (manifests), `index` (what the disk was when last
looked at). Who may call what when is the callers' affair: they hold the VM's configuration lock.
"""

import contextlib
import math
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from proxmox.node import trees
from proxmox.node.errors import Failure
from proxmox.node.guests import Guests
from proxmox.node.store import Store
from proxmox.node.trees import Captured, Entry, Index, Tick, Trees

LATELY_SECONDS = 60
BASE = "base"  # the manifest of a template's disk
_SAME = "same-as"  # link to the manifest that the index was last written out as


class Disks:
    """The disks of all guests."""

    def __init__(self, guests: Guests, store: Store, trash: Path, *, fsync: bool) -> None:
        self._guests = guests
        self._store = store
        self._trees = Trees(store)
        self._trash = trash
        self._measured: dict[int, tuple[float, int]] = {}
        self._fsync = fsync
        shutil.rmtree(trash, ignore_errors=True)
        trash.mkdir(parents=True)

    def create(self, vmid: int) -> None:
        """An empty disk."""
        self._guests.disk(vmid).mkdir(parents=True, exist_ok=True)

    def exists(self, vmid: int) -> bool:
        """Whether the disk is there."""
        return self._guests.disk(vmid).is_dir()

    def used(self, vmid: int) -> int:
        """Bytes of storage that the disk takes now."""
        return trees.measure(str(self._guests.disk(vmid)))

    def used_lately(self, vmid: int) -> int:
        """The same, as it was at most a minute ago: measuring takes a stat for every file."""
        at, used = self._measured.get(vmid, (-math.inf, 0))
        if time.monotonic() - at > LATELY_SECONDS:
            at, used = time.monotonic(), self.used(vmid)
            self._measured[vmid] = (at, used)
        return used

    def snapshot(self, vmid: int, name: str, tick: Tick) -> None:
        """Keep the disk as it is now under `name`."""
        with self._captured(vmid, tick) as captured:
            self._keep(vmid, self._snapshot(vmid, name), captured)

    def make_base(self, vmid: int, tick: Tick) -> None:
        """Keep the disk as it is now as what clones of this template start from."""
        with self._captured(vmid, tick) as captured:
            self._keep(vmid, self._guests.directory(vmid) / BASE, captured)

    def rollback(self, vmid: int, name: str, tick: Tick) -> None:
        """Make the disk what it was; the guest must be off."""
        self._restore(vmid, self._entries(self._snapshot(vmid, name)), self._index(vmid), tick)

    def clone(self, source: int, snapshot: str, target: int, tick: Tick) -> None:
        """A new disk from another guest's snapshot; without one, from its base or from its disk as it is now."""
        base = self._guests.directory(source) / BASE
        if snapshot or base.exists():
            entries = self._entries(self._snapshot(source, snapshot) if snapshot else base)
            self._restore(target, entries, {}, tick)
            return
        with self._captured(source, tick) as captured:
            self._restore(target, captured.entries, {}, tick)

    @contextlib.contextmanager
    def contents(self, vmid: int, tick: Tick) -> Iterator[list[Entry]]:
        """What is on the disk now, with its contents kept in the store meanwhile."""
        with self._captured(vmid, tick) as captured:
            yield captured.entries

    def fill(self, vmid: int, entries: list[Entry], tick: Tick) -> None:
        """A new disk from entries whose contents are in the store."""
        self._restore(vmid, entries, {}, tick)

    def drop_snapshot(self, vmid: int, name: str) -> None:
        """Forget a snapshot; its contents are swept later."""
        self._snapshot(vmid, name).unlink(missing_ok=True)

    def has_snapshot(self, vmid: int, name: str) -> bool:
        return self._snapshot(vmid, name).exists()

    def destroy(self, vmid: int) -> None:
        """Remove everything of a guest; it must be off. A crash leaves it either whole or gone."""
        directory = self._guests.directory(vmid)
        grave = self._trash / f"{vmid}-{time.time_ns()}"
        with contextlib.suppress(FileNotFoundError):
            directory.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)

    # --- details ---

    @contextlib.contextmanager
    def _captured(self, vmid: int, tick: Tick) -> Iterator[Captured]:
        index = self._index(vmid)
        with self._store.session() as held:
            with self._guests.still(vmid):
                captured = self._trees.capture(self._guests.disk(vmid), index, held, tick)
            # In this order: a crash in between must not leave an old manifest that a new index vouches for.
            if not captured.same_entries:
                (self._guests.directory(vmid) / _SAME).unlink(missing_ok=True)
            if not captured.same_index:
                self._write(self._guests.directory(vmid) / "index", trees.dump(captured.seen.values()))
            yield captured

    def _keep(self, vmid: int, manifest: Path, captured: Captured) -> None:
        """Write a manifest; one that would be as the last is a hard link to it."""
        manifest.parent.mkdir(parents=True, exist_ok=True)
        same = self._guests.directory(vmid) / _SAME
        manifest.unlink(missing_ok=True)
        if same.exists():
            os.link(same, manifest)
            return
        self._write(manifest, trees.dump(captured.entries))
        os.link(manifest, same)

    def _restore(self, vmid: int, entries: list[Entry], index: Index, tick: Tick) -> None:
        directory = self._guests.directory(vmid)
        for name in ("index", _SAME):  # they describe a disk that is about to change
            (directory / name).unlink(missing_ok=True)
        restored = self._trees.restore(self._guests.disk(vmid), entries, index, tick)
        self._write(directory / "index", trees.dump(restored.values()))

    def _index(self, vmid: int) -> Index:
        try:
            return trees.load_index((self._guests.directory(vmid) / "index").read_bytes())
        except FileNotFoundError:
            return {}

    def _entries(self, manifest: Path) -> list[Entry]:
        try:
            return trees.load_entries(manifest.read_bytes())
        except FileNotFoundError:
            raise Failure(f"snapshot data '{manifest.name}' is missing from the storage") from None

    def _snapshot(self, vmid: int, name: str) -> Path:
        return self._guests.directory(vmid) / "snapshots" / name

    def _write(self, path: Path, data: bytes) -> None:
        fresh = path.with_name(f".{path.name}.{threading.get_native_id()}")
        with fresh.open("wb") as file:
            file.write(data)
            if self._fsync:
                file.flush()
                os.fsync(file.fileno())
        fresh.rename(path)
