"""The pieces that the contents of files are kept in: which they are, and reading those of many files.

What is read is hashed again, so that damage is never handed out.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar

import zstandard

from checkpoints.models import Blob

Item = TypeVar("Item")

ITEMS_AT_ONCE = 256
BYTES_AT_ONCE = 4 * 1024**2
_DAMAGED = (zstandard.ZstdError, zlib.error, ValueError)


class Content(NamedTuple):
    """A file's content, in pieces; `size` is their true length together."""

    size: int
    pieces: Iterable[bytes]


def of(entry: dict[str, Any]) -> list[str]:
    """The hashes of a file's pieces, in their order; most files are one piece."""
    return entry.get("chunks") or [str(entry["sha256"])]


def read(items: Iterable[Item], wanted: Callable[[Item], list[str]]) -> Iterator[tuple[Item, Content | None]]:
    """Each item with the content whose pieces it wants; None where one is gone or damaged.

    A few megabytes are held at a time. A content has to be used up before the next is asked for.
    """
    items = iter(items)
    while batch := list(islice(items, ITEMS_AT_ONCE)):
        needs = [wanted(item) for item in batch]
        known = Blob.objects.filter(pk__in=set(chain.from_iterable(needs)))
        sizes = dict(known.values_list("pk", "size"))
        lengths = (sum(sizes.get(digest, 0) for digest in some) for some in needs)
        for group in _groups(zip(zip(batch, needs, strict=True), lengths, strict=True)):
            yield from _read(group, sizes)


def _read(
    group: list[tuple[Item, list[str]]], sizes: Mapping[str, int]
) -> Iterator[tuple[Item, Content | None]]:
    item, needs = group[0]
    length = sum(sizes.get(digest, 0) for digest in needs)
    if length > BYTES_AT_ONCE:  # a group by itself: it is read twice, and never held as a whole
        whole = all(piece is not None for piece in _stream(needs, sizes))
        yield item, Content(length, filter(None, _stream(needs, sizes))) if whole else None
        return
    found = Blob.objects.in_bulk({digest for _, needs in group for digest in needs})
    for item, needs in group:
        contents = [content for digest in needs if (content := sound(found.get(digest))) is not None]
        whole = len(contents) == len(needs)
        yield item, Content(sum(map(len, contents)), contents) if whole else None


def _stream(needs: list[str], sizes: Mapping[str, int]) -> Iterator[bytes | None]:
    for group in _groups((digest, sizes.get(digest, 0)) for digest in needs):
        found = Blob.objects.in_bulk(group)
        for digest in group:
            yield sound(found.get(digest))


def _groups(sized: Iterable[tuple[Item, int]]) -> Iterator[list[Item]]:
    """Items that follow each other, as many as may be held at once, and at least one."""
    group: list[Item] = []
    held = 0
    for item, size in sized:
        if group and held + size > BYTES_AT_ONCE:
            yield group
            group, held = [], 0
        group.append(item)
        held += size
    if group:
        yield group


def sound(blob: Blob | None) -> bytes | None:
    """A piece, if it is there and is what its hash says."""
    if blob is None:
        return None
    try:
        content = blob.content
    except _DAMAGED:
        return None
    return content if hashlib.sha256(content).hexdigest() == blob.pk else None
