"""Keeping lists of files in parts, so that a state that differs in a few files costs a few parts."""

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import zstandard

from checkpoints.models import Manifest, ManifestPart

# A part ends after a path whose checksum says so: where a list is cut does not depend on what else is in it.
ENTRIES_MEAN, ENTRIES_MAX = 128, 1024

Entry = dict[str, Any]


def keep(entries: list[Entry], *, files: int, size: int) -> Manifest:
    """The manifest of these entries, sorted by path; parts that are known are shared."""
    parts = [_part(some) for some in _cut(entries)]
    ManifestPart.objects.bulk_create(parts, ignore_conflicts=True)
    digests = [part.digest for part in parts]
    digest = hashlib.sha256("".join(digests).encode()).hexdigest()
    manifest, _ = Manifest.objects.get_or_create(
        digest=digest, defaults={"files": files, "size": size, "parts": digests}
    )
    return manifest


def kept_contents(entries: Iterable[Entry]) -> set[str]:
    """The hashes of the contents that are kept for these entries."""
    return {entry["sha256"] for entry in entries if entry.get("kept")}


def _cut(entries: list[Entry]) -> Iterator[list[Entry]]:
    begin = 0
    for at, entry in enumerate(entries, 1):
        ends = zlib.crc32(entry["path"].encode()) % ENTRIES_MEAN == 0
        if ends or at - begin == ENTRIES_MAX or at == len(entries):
            yield entries[begin:at]
            begin = at


def _part(entries: list[Entry]) -> ManifestPart:
    body = json.dumps(entries, separators=(",", ":"), sort_keys=True).encode()
    return ManifestPart(
        digest=hashlib.sha256(body).hexdigest(),
        body=zstandard.compress(body, 3),
        contents=sorted(kept_contents(entries)),
    )
