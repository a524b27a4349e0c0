"""Sweeping the content store: what no manifest and no index names is removed.

Runs beside snapshots and clones: what they have in hand is held by their store session, and everything else
they may name is named by an index or manifest on disk. As long as one of these cannot be followed, nothing is swept:
who knows what it names.
"""

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from proxmox.node.errors import Damaged
from proxmox.node.manifests import Manifests
from proxmox.node.store import Store

_REST = 20  # a sweep may take one part in this many of the time

logger = logging.getLogger(__name__)


class Garbage:
    """A thread that sweeps some time after something was deleted."""

    def __init__(self, guests: Path, store: Store, *, seconds: float) -> None:
        self._guests = guests
        self._store = store
        self._manifests = Manifests(store)
        self._seconds = seconds
        self._wanted = threading.Event()
        threading.Thread(target=self._run, name="garbage", daemon=True).start()

    def expect(self) -> None:
        """Something was deleted: sweep soon."""
        self._wanted.set()

    def sweep(self) -> int:
        """Remove what nothing refers to; how many contents that were. Raises `Damaged`."""
        with self._store.sweep() as remove:
            used: set[str] = set()
            followed: set[str] = set()
            for path in self._named():
                self._mark(path, used, followed)
            used |= self._store.pieces(used)
            return sum(remove(digest) for digest in self._store.digests() if digest not in used)

    def _mark(self, path: Path, used: set[str], followed: set[str]) -> None:
        try:
            self._manifests.mark(path, used, followed)
        except FileNotFoundError:
            return  # deleted meanwhile
        except Damaged as damage:
            raise Damaged(f"{path}: {damage}") from None

    def _named(self) -> Iterator[Path]:
        for pattern in ("*/snapshots/*", "*/base", "*/known"):
            yield from (path for path in self._guests.glob(pattern) if not path.name.startswith("."))

    def _run(self) -> None:
        rest = 0.0
        while True:
            self._wanted.wait()
            time.sleep(max(self._seconds, rest))
            self._wanted.clear()
            began = time.monotonic()
            try:
                logger.info("Swept %d unused contents.", self.sweep())
            except Damaged as damage:
                logger.warning("The content store is not swept until this is repaired or deleted: %s", damage)
            except Exception:
                logger.exception("The content store could not be swept; it grows until that works again.")
            rest = (time.monotonic() - began) * _REST
