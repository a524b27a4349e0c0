"""A guest's disk over its life: snapshots and rollback, clones, templates, destruction.

Per guest: `disk/` (its files), `snapshots/<name>` and `base` (digests of manifests), `known` (what the disk was when
last looked at). Who may call what when is the callers' affair: they hold the VM's configuration lock.
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
from proxmox.node.errors import Damaged
from proxmox.node.guests import Guests
from proxmox.node.indexes import Indexes, Known
from proxmox.node.manifests import Manifests
from proxmox.node.store import Store
from proxmox.node.trees import Entry, Index, Tick, Trees

LATELY_SECONDS = 60
BASE = "base"  # the manifest of a template's disk


class Disks:
    """The disks of all guests."""

    def __init__(self, guests: Guests, store: Store, trash: Path, *, fsync: bool) -> None:
        self._guests = guests
        self._store = store
        self._trees = Trees(store)
        self._manifests = Manifests(store)
        self._indexes = Indexes(guests.directory, self._write)
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
        with self._captured(vmid, tick) as known:
            self._write(self._snapshot(vmid, name), known.manifest.encode())

    def make_base(self, vmid: int, tick: Tick) -> None:
        """Keep the disk as it is now as what clones of this template start from."""
        with self._captured(vmid, tick) as known:
            self._write(self._guests.directory(vmid) / BASE, known.manifest.encode())

    def rollback(self, vmid: int, name: str, tick: Tick) -> None:
        """Make the disk what it was; the guest must be off. Raises `Damaged`, with nothing touched."""
        self._restore(vmid, self._entries(self._snapshot(vmid, name)), tick)

    def clone(self, source: int, snapshot: str, target: int, tick: Tick) -> None:
        """A new disk from another guest's snapshot; without one, from its base or from its disk as it is now."""
        base = self._guests.directory(source) / BASE
        if snapshot or base.exists():
            self._restore(target, self._entries(self._snapshot(source, snapshot) if snapshot else base), tick)
            return
        with self._captured(source, tick) as known:
            self._restore(target, trees.entries_of(known.seen), tick)

    @contextlib.contextmanager
    def contents(self, vmid: int, tick: Tick) -> Iterator[list[Entry]]:
        """What is on the disk now, with its contents kept in the store meanwhile."""
        with self._captured(vmid, tick) as known:
            yield trees.entries_of(known.seen)

    def replace(self, vmid: int, entries: list[Entry], tick: Tick) -> None:
        """A new disk from entries whose contents are in the store. What was there goes when the new one is complete."""
        fresh = self._new_in_trash(vmid)
        try:
            index = self._trees.restore(fresh / "disk", entries, {}, tick)
            self.destroy(vmid)
            fresh.rename(self._guests.directory(vmid))
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        self._note(vmid, index)

    def drop_snapshot(self, vmid: int, name: str) -> None:
        """Forget a snapshot; its contents are swept later."""
        self._snapshot(vmid, name).unlink(missing_ok=True)

    def destroy(self, vmid: int) -> None:
        """Remove everything of a guest; it must be off. A crash leaves it either whole or gone."""
        grave = self._new_in_trash(vmid)
        with contextlib.suppress(FileNotFoundError):
            self._guests.directory(vmid).rename(grave)
        self._indexes.forget(vmid)
        shutil.rmtree(grave, ignore_errors=True)

    # --- details ---

    @contextlib.contextmanager
    def _captured(self, vmid: int, tick: Tick) -> Iterator[Known]:
        before = self._indexes.of(vmid)
        with self._store.session() as held:
            with self._guests.still(vmid):
                captured = self._trees.capture(self._guests.disk(vmid), before.seen, held, tick)
            manifest = before.manifest
            if not manifest or not captured.same_entries or self._store.damaged:
                manifest = self._manifests.keep(captured.entries, held)
            known = Known(manifest, captured.seen)
            if manifest != before.manifest or not captured.same_index:
                self._indexes.keep(vmid, known)
            yield known

    def _restore(self, vmid: int, entries: list[Entry], tick: Tick) -> None:
        index = self._indexes.of(vmid).seen
        self._note(vmid, self._trees.restore(self._guests.disk(vmid), entries, index, tick))

    def _note(self, vmid: int, index: Index) -> None:
        with self._store.session() as held:
            manifest = self._manifests.keep(trees.entries_of(index), held)
            self._indexes.keep(vmid, Known(manifest, index))

    def _entries(self, manifest: Path) -> list[Entry]:
        try:
            return self._manifests.at(manifest)
        except FileNotFoundError:
            raise Damaged(f"snapshot data '{manifest.name}' is missing from the storage") from None

    def _new_in_trash(self, vmid: int) -> Path:
        return self._trash / f"{vmid}-{time.time_ns()}"

    def _snapshot(self, vmid: int, name: str) -> Path:
        return self._guests.directory(vmid) / "snapshots" / name

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{threading.get_native_id()}")
        with fresh.open("wb") as file:
            file.write(data)
            if self._fsync:
                file.flush()
                os.fsync(file.fileno())
        fresh.rename(path)
