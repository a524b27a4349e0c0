"""Whether what is known of a checkpoint is sound: its list of files in our rows, and that against what a guest has.

Contents are not looked at: a snapshot has them as well, and what one that shares a snapshot needs of ours is looked at
by `checkpoints.trust.proofs`. Nothing here talks to Proxmox, and nothing is claimed here.
"""

import hashlib
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import zstandard

from checkpoints.contents import parts
from checkpoints.contents.manifests import in_workspace
from checkpoints.models import Manifest, ManifestPart

Entry = dict[str, Any]
ROOT_KIND = "root"  # how `machines/guest/proof.py` tells of the directories where it begins
TOLD = 5  # of many faults, so many are named
_DAMAGED = (zstandard.ZstdError, zlib.error, ValueError, KeyError, TypeError)


class Books:
    """Our rows, each read and reckoned again once, however many checkpoints share it."""

    def __init__(self) -> None:
        self._sound: set[str] = set()

    def fault(self, manifest: Manifest) -> str:
        """What is wrong with the list of files; "" when all of it is sound."""
        if manifest.digest in self._sound:
            return ""
        fault = self._fault(manifest)
        if not fault:
            self._sound.add(manifest.digest)
        return fault

    def _fault(self, manifest: Manifest) -> str:
        # A list of one part may carry that part's digest: those of before lists were cut do.
        reckoned = {hashlib.sha256("".join(manifest.parts).encode()).hexdigest(), *manifest.parts[:1]}
        if manifest.digest not in reckoned:
            return f"The list of files {manifest} is damaged in the database."
        unread = [digest for digest in manifest.parts if digest not in self._sound]
        found = ManifestPart.objects.in_bulk(unread)
        if fault := next(filter(None, (_part_fault(one, found.get(one)) for one in unread)), ""):
            return fault
        self._sound.update(unread)
        return ""


def _part_fault(digest: str, part: ManifestPart | None) -> str:
    if part is None:
        return f"A part of its list of files ({digest[:12]}) is gone from the database."
    try:
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(bytes(part.body))
        sound = hashlib.sha256(raw).hexdigest() == digest and part.contents == sorted(
            parts.kept_contents(part.entries)
        )
    except _DAMAGED:
        sound = False
    return "" if sound else f"A part of its list of files ({digest[:12]}) is damaged in the database."


# --- a list against a guest ---


class Comparison(NamedTuple):
    """How the files that a guest has differ from those that were listed."""

    damaged: list[str]  # sentences
    moved_on: list[str]  # paths that were written to after they were listed, and before the snapshot


def compare(listed: Iterable[Entry], found: Iterable[Entry], *, listed_ns: int, window_ns: int) -> Comparison:
    """What was listed, against what was hashed anew in a copy of the snapshot.

    A program that the agent left running may write while its files are listed and the snapshot is taken. That is no
    damage: such a file was last written, by the guest's own clock, within `window_ns` of `listed_ns`. Bits that rot
    leave no such trace. What the agent keeps outside the workspace may lie beside files that nobody listed.
    """
    there = {entry["path"]: entry for entry in found}
    wanted = {entry["path"]: entry for entry in listed}
    damaged, moved_on = [], []
    for path in sorted(wanted.keys() | there.keys()):
        fault = _difference(wanted.get(path), there.get(path))
        if not fault:
            continue
        written_ns = _written_ns(wanted.get(path), there.get(path) or _parent(path, there))
        if listed_ns and abs(written_ns - listed_ns) <= window_ns:
            moved_on.append(path)
        else:
            damaged.append(f"{path} {fault}")
    return Comparison(damaged, moved_on)


def roots(entries: Iterable[Entry]) -> list[str]:
    """The directories outside the workspace that hold what was listed there, none within another."""
    above = sorted({entry["path"].rpartition("/")[0] for entry in entries if not in_workspace(entry["path"])})
    found: list[str] = []
    for directory in above:
        if directory and not any(directory.startswith(f"{root}/") for root in found):
            found.append(directory)
    return found


def _difference(wanted: Entry | None, there: Entry | None) -> str:
    if there is None:
        return "is missing"
    if "error" in there:
        return f"cannot be read: {there['error']}"
    if wanted is None:
        unlisted = there["kind"] != ROOT_KIND and in_workspace(there["path"])
        return "was not listed" if unlisted else ""
    if wanted["kind"] != there["kind"]:
        return f"is a {there['kind']}, not a {wanted['kind']}"
    return next(
        (f"has another {name}" for name in _ESSENCE[wanted["kind"]] if wanted[name] != there[name]), ""
    )


_ESSENCE: dict[str, tuple[str, ...]] = {
    "file": ("size", "sha256", "mode"),
    "dir": ("mode",),
    "link": ("target",),
}


def _written_ns(wanted: Entry | None, there: Entry | None) -> int:
    """When it, or the directory that it was in, was last written to; 0 when that was before it was listed."""
    if there is None or (wanted and wanted.get("mtime_ns") == there.get("mtime_ns")):
        return 0
    return int(there.get("mtime_ns", 0))


def _parent(path: str, there: dict[str, Entry]) -> Entry | None:
    """The directory that a path was in, as it is now. Those where the hashing began are named with a slash."""
    directory = path.rpartition("/")[0]
    return there.get(directory) or there.get(f"{directory}/") or (there.get("") if not directory else None)


def told(faults: list[str]) -> str:
    """The first of them, and how many more there are, in one line."""
    rest = f", and {len(faults) - TOLD} more" if len(faults) > TOLD else ""
    return "; ".join(faults[:TOLD]) + rest
