"""Sweeping the content store: what no manifest and no index names is removed.

Runs beside snapshots and clones: what they have in hand is held by their store session, and everything else
they may name is named by an index or manifest on disk.
"""

import logging
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import zstandard

from proxmox.node.store import Store

_DIGEST = re.compile(rb'"([0-9a-f]{64})"')
_REST = 20  # a sweep may take one part in this many of the time

logger = logging.getLogger(__name__)


class Garbage:
    """A thread that sweeps some time after something was deleted."""

    def __init__(self, guests: Path, store: Store, *, seconds: float) -> None:
        self._guests = guests
        self._store = store
        self._seconds = seconds
        self._wanted = threading.Event()
        threading.Thread(target=self._run, name="garbage", daemon=True).start()

    def expect(self) -> None:
        """Something was deleted: sweep soon."""
        self._wanted.set()

    def sweep(self) -> int:
        """Remove what nothing refers to; how many contents that were."""
        with self._store.sweep() as remove:
            used = {digest for path in self._manifests() for digest in _named(path)}
            return sum(remove(digest) for digest in self._store.digests() if digest.encode() not in used)

    def _manifests(self) -> Iterator[Path]:
        for pattern in ("*/snapshots/*", "*/base", "*/index"):
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
            except Exception:
                logger.exception("The content store could not be swept; it grows until that works again.")
            rest = (time.monotonic() - began) * _REST


def _named(manifest: Path) -> set[bytes]:
    try:
        data = zstandard.ZstdDecompressor().decompress(manifest.read_bytes())
    except FileNotFoundError:
        return set()  # deleted meanwhile
    return set(_DIGEST.findall(data))
