"""Manifests: which entries a tree has, kept in the content store in parts that manifests with much in common share.

A part is a JSON list, of entries or of the digests of further parts; a manifest is known by its topmost part's digest.
Where a list is cut follows from the names in it alone, so a change rewrites the parts around it and what names those.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import orjson
import zstandard

from proxmox.node.errors import Damaged
from proxmox.node.store import Store
from proxmox.node.trees import FILE, Entry

FEW, MANY = 8, 128  # of rows in a part; lists therefore get shorter from level to level
BORDER = 16  # one name in so many is the last of its part
DIGEST_LENGTH = 64
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ZSTD = (
    b"\x28\xb5\x2f\xfd"  # what files begin with that have all entries in them, as earlier versions wrote them
)

Row = TypeVar("Row")


class Manifests:
    """Manifests by digest."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self, entries: Iterable[Entry], held: set[str]) -> str:
        """Store a manifest, whose entries are sorted by path; its digest. Parts that are there cost a look each."""
        rows = [self._put(part, held) for part in cut(entries, lambda entry: entry.path)]
        while len(rows) > 1:
            rows = [self._put(part, held) for part in cut(rows, lambda digest: digest)]
        return rows[0]

    def load(self, digest: str) -> list[Entry]:
        """The entries of a manifest, sorted by path. Raises `Damaged`."""
        rows = self._rows(digest)
        if rows and isinstance(rows[0], str):
            return [entry for part in rows for entry in self.load(part)]
        return [Entry(*row) for row in rows]

    def at(self, path: Path) -> list[Entry]:
        """The entries of the manifest that a file names. Raises `Damaged`."""
        return _inlined(path) if _is_inlined(path) else self.load(named(path))

    def mark(self, path: Path, used: set[str], followed: set[str]) -> None:
        """Add every digest to `used` that the manifest at `path` needs. `followed`: its parts seen so far."""
        if _is_inlined(path):
            used |= {entry.content for entry in _inlined(path) if entry.kind == FILE}
        else:
            self._mark(named(path), used, followed)

    def _mark(self, digest: str, used: set[str], followed: set[str]) -> None:
        if digest in followed:
            return
        followed.add(digest)
        used.add(digest)
        for row in self._rows(digest):
            if isinstance(row, str):
                self._mark(row, used, followed)
            else:
                used.add(Entry(*row).content)

    def _put(self, rows: list[Any], held: set[str]) -> str:
        return self._store.put(dumped(rows), held)

    def _rows(self, digest: str) -> list[Any]:
        return loaded(b"".join(self._store.read(digest)))


def cut(rows: Iterable[Row], name: Callable[[Row], str]) -> Iterator[list[Row]]:
    """Parts of a list; one that is empty is one part."""
    part: list[Row] = []
    yielded = False
    for row in rows:
        part.append(row)
        if (len(part) >= FEW and _is_border(name(row))) or len(part) == MANY:
            yield part
            part, yielded = [], True
    if part or not yielded:
        yield part


def _is_border(name: str) -> bool:
    # A plain checksum will not do: of names that differ in a number only, its last bits take few values.
    return not hashlib.blake2b(os.fsencode(name), digest_size=1).digest()[0] % BORDER


def named(path: Path) -> str:
    """The digest that a file begins with. Raises `Damaged`, and FileNotFoundError."""
    with path.open("rb") as file:
        digest = file.read(DIGEST_LENGTH).decode("ascii", errors="replace")
    if not _DIGEST.fullmatch(digest):
        raise Damaged(f"manifest '{path.name}' is damaged")
    return digest


def dumped(rows: list[Any]) -> bytes:
    """Rows as JSON. Names that are no text are beyond orjson, but not beyond the standard library."""
    try:
        return orjson.dumps(rows, default=tuple)
    except TypeError:
        return json.dumps(rows, separators=(",", ":")).encode()


def loaded(data: bytes) -> list[Any]:
    """What `dumped` wrote."""
    try:
        rows = orjson.loads(data)
    except ValueError:
        rows = json.loads(data)
    assert isinstance(rows, list)
    return rows


def _is_inlined(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_ZSTD)) == _ZSTD


def _inlined(path: Path) -> list[Entry]:
    try:
        rows = json.loads(zstandard.ZstdDecompressor().decompress(path.read_bytes()))
        return sorted(Entry(*row) for row in rows)
    except (zstandard.ZstdError, MemoryError, ValueError, TypeError):
        raise Damaged(f"manifest '{path.name}' is damaged") from None
