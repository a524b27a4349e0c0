"""Keeping lists of files in parts, so that a state that differs in a few files costs a few parts."""

import hashlib
import json
import zlib
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import zstandard

from checkpoints.contents import pieces
from checkpoints.models import Manifest, ManifestPart

# A part ends after a path whose checksum says so: where a list is cut does not depend on what else is in it.
ENTRIES_MEAN, ENTRIES_MAX = 128, 1024

Entry = dict[str, Any]


class Difference(NamedTuple):
    """A path's entry before and after; None where it has none."""

    before: Entry | None
    after: Entry | None


def keep(entries: list[Entry], *, files: int, size: int) -> Manifest:
    """The manifest of these entries, sorted by path; parts that are known are shared."""
    parts = [_part(some) for some in _cut(entries)]
    ManifestPart.objects.bulk_create(parts, ignore_conflicts=True)
    return _manifest([part.digest for part in parts], files, size)


def change(
    manifest: Manifest, entries: Mapping[str, Entry | None]
) -> tuple[list[ManifestPart], list[Difference]]:
    """The parts of a list in which these paths have other entries, or None; and how it differs.

    Only parts that have such a path are read and made anew. The result is what `keep` would make of the whole.
    """
    old = ManifestPart.objects.in_bulk(manifest.parts)
    stretches = [old[digest] for digest in manifest.parts]
    touched = _by_stretch([_first_path(part) for part in stretches], entries)
    made: list[ManifestPart] = []
    found: list[Difference] = []
    held: dict[str, Entry] = {}
    for number, part in enumerate(stretches or [_part([])]):  # to an empty list as well
        if stretches and not held and number not in touched:
            made.append(part)
            continue
        held |= {entry["path"]: entry for entry in part.entries}
        found += _apply(touched.get(number, {}), held)
        # A stretch that no longer ends where a list is cut takes the next one with it.
        if number + 1 >= len(stretches) or (held and _ends(max(held))):
            made += [_part(some) for some in _cut([held[path] for path in sorted(held)])]
            held = {}
    return made, found


def store(parts: list[ManifestPart], *, files: int, size: int) -> Manifest:
    """The manifest of these parts, which are kept where they are not yet."""
    ManifestPart.objects.bulk_create([one for one in parts if one._state.adding], ignore_conflicts=True)
    return _manifest([part.digest for part in parts], files, size)


def unshared(one: Manifest | None, other: Manifest | None) -> tuple[list[Entry], list[Entry]]:
    """The entries of two lists, without the parts that they share."""
    sides = [manifest.parts if manifest else [] for manifest in (one, other)]
    wanted = set(sides[0]) ^ set(sides[1])
    found = ManifestPart.objects.in_bulk(list(wanted))
    first, second = (
        [entry for digest in side if digest in wanted for entry in found[digest].entries] for side in sides
    )
    return first, second


def kept_contents(entries: Iterable[Entry]) -> set[str]:
    """The hashes of the contents that are kept for these entries."""
    return {digest for entry in entries if entry.get("kept") for digest in pieces.of(entry)}


def kept_of(manifest: Manifest, digests: Collection[str]) -> set[str]:
    """Those of these contents that are kept for a list."""
    wanted = list(digests)
    holding = ManifestPart.objects.filter(pk__in=manifest.parts, contents__overlap=wanted)
    found = holding.values_list("contents", flat=True) if wanted else ()
    return {digest for contents in found for digest in contents}.intersection(wanted)


def _manifest(digests: list[str], files: int, size: int) -> Manifest:
    digest = hashlib.sha256("".join(digests).encode()).hexdigest()
    values = {"files": files, "size": size, "parts": digests}
    return Manifest.objects.get_or_create(digest=digest, defaults=values)[0]


def _by_stretch(first: list[str], entries: Mapping[str, Entry | None]) -> dict[int, dict[str, Entry | None]]:
    """Which stretch of a list each path belongs to, by the first paths of all of them."""
    found: dict[int, dict[str, Entry | None]] = {}
    for path, entry in entries.items():
        found.setdefault(max(bisect_right(first, path) - 1, 0), {})[path] = entry
    return found


def _apply(changed: Mapping[str, Entry | None], held: dict[str, Entry]) -> Iterator[Difference]:
    for path, entry in changed.items():
        if (before := held.pop(path, None)) or entry:
            yield Difference(before, entry)
        if entry:
            held[path] = entry


def _cut(entries: list[Entry]) -> Iterator[list[Entry]]:
    begin = 0
    for at, entry in enumerate(entries, 1):
        if _ends(entry["path"]) or at - begin == ENTRIES_MAX or at == len(entries):
            yield entries[begin:at]
            begin = at


def _ends(path: str) -> bool:
    return zlib.crc32(path.encode()) % ENTRIES_MEAN == 0


def _part(entries: list[Entry]) -> ManifestPart:
    body = json.dumps(entries, separators=(",", ":"), sort_keys=True).encode()
    return ManifestPart(
        digest=hashlib.sha256(body).hexdigest(),
        body=zstandard.compress(body, 3),
        contents=sorted(kept_contents(entries)),
    )


def _first_path(part: ManifestPart) -> str:
    """The path of a part's first entry, without reading the others."""
    text = zstandard.ZstdDecompressor().decompressobj().decompress(bytes(part.body)).decode()
    return str(json.JSONDecoder().raw_decode(text, 1)[0]["path"])
