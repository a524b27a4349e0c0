"""Indexes: what each guest's disk was when it was last looked at, on disk and, for those used last, in memory.

An index that cannot be read is none: the next look at the disk then reads every file.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import zstandard

from proxmox.node import manifests
from proxmox.node.errors import Damaged
from proxmox.node.trees import Entry, Index, Seen

FILE = "known"
ROWS_IN_MEMORY = 250_000  # some 150 MB

logger = logging.getLogger(__name__)


class Known(NamedTuple):
    """What is known of a disk: the digest of its manifest, and its index. Both are empty when nothing is."""

    manifest: str
    seen: Index


class Indexes:
    """What is known of all disks."""

    def __init__(self, directory: Callable[[int], Path], write: Callable[[Path, bytes], None]) -> None:
        self._directory = directory
        self._write = write
        self._lock = threading.Lock()
        self._latest: dict[int, Known] = {}  # the one used last is the last

    def of(self, vmid: int) -> Known:
        """What is known of a guest's disk."""
        with self._lock:
            known = self._latest.get(vmid)
        return known or self._remember(vmid, _read(self._directory(vmid) / FILE))

    def keep(self, vmid: int, known: Known) -> None:
        """Know this of a guest's disk from now on. The file begins with the digest, for those who sweep the store."""
        rows = [[*seen.entry, seen.inode, seen.ctime_ns] for seen in known.seen.values()]
        packed = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(
            manifests.dumped([known.manifest, rows])
        )
        self._write(self._directory(vmid) / FILE, known.manifest.encode() + packed)
        self._remember(vmid, known)

    def forget(self, vmid: int) -> None:
        """The disk is gone."""
        with self._lock:
            self._latest.pop(vmid, None)

    def _remember(self, vmid: int, known: Known) -> Known:
        with self._lock:
            self._latest.pop(vmid, None)
            self._latest[vmid] = known
            rows = sum(len(each.seen) for each in self._latest.values())
            for oldest in list(self._latest)[:-1]:
                if rows <= ROWS_IN_MEMORY:
                    break
                rows -= len(self._latest.pop(oldest).seen)
        return known


def _read(path: Path) -> Known:
    try:
        manifest = manifests.named(path)
        packed = path.read_bytes()[manifests.DIGEST_LENGTH :]
        written, rows = manifests.loaded(zstandard.ZstdDecompressor().decompress(packed))
        if written != manifest:
            raise Damaged(f"{path} does not begin with what it was written for")
    except FileNotFoundError:
        return Known("", {})
    except (Damaged, zstandard.ZstdError, ValueError, MemoryError) as error:
        logger.warning("%s is of no use (%s); every file will be read again.", path, error)
        path.unlink()
        return Known("", {})
    return Known(manifest, {row[0]: Seen(Entry(*row[:8]), row[8], row[9]) for row in rows})
