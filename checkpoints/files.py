"""Reading checkpoints: their files, one file's content, and the difference between two."""

import difflib
from collections.abc import Iterator
from typing import Any

from checkpoints import manifests
from checkpoints.models import Blob, Checkpoint
from projects.errors import Conflict, NotThere

DIFF_BYTES_MAX = 256 * 1024


def entries(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """The workspace's entries: path, kind, mode, size, sha256 or target, mtime. A genesis has none."""
    return [entry for entry in _listed(checkpoint) if manifests.in_workspace(entry["path"])]


def content(checkpoint: Checkpoint, path: str) -> bytes:
    """One file's bytes; an absolute path is one of the agent's own.

    Raises `NotThere`, or `Conflict` when the content is in the snapshot only.
    """
    entry = next((entry for entry in _listed(checkpoint) if entry["path"] == path.rstrip("/")), None)
    if entry is None or entry["kind"] != "file":
        raise NotThere(
            f"Checkpoint {checkpoint.handle} has no file {path!r}. See: autovibe files {checkpoint.handle}"
        )
    if entry.get("kept") and (blob := Blob.objects.filter(pk=entry["sha256"]).first()):
        return blob.content
    raise Conflict(
        f"{path} ({entry['size']:,} bytes) is kept in the snapshot only: only files up to 1 MiB are handed out, "
        "and none of git's objects. "
        f"Branch from {checkpoint.handle} to read it."
    )


def diff(before: Checkpoint, after: Checkpoint) -> Iterator[dict[str, Any]]:
    """Each changed path, with a unified diff where both sides are text and kept."""
    _require_listed(before)
    _require_listed(after)
    found = list(manifests.changes(before.manifest, after.manifest))
    sides = [side for change in found for side in (change.before, change.after)]
    wanted = {side["sha256"] for side in sides if side and _textual(side)}
    blobs = Blob.objects.in_bulk(list(wanted))
    for change in found:
        yield {
            "path": change.path,
            "change": change.kind,
            "size_before": (change.before or {}).get("size"),
            "size_after": (change.after or {}).get("size"),
            "diff": _unified(change, blobs),
        }


def _listed(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    _require_listed(checkpoint)
    return checkpoint.manifest.entries if checkpoint.manifest else []


def _require_listed(checkpoint: Checkpoint) -> None:
    if checkpoint.manifest is None and checkpoint.kind != Checkpoint.Kind.GENESIS:
        raise Conflict(
            f"Checkpoint {checkpoint.handle} has no list of files: "
            + (checkpoint.error or "it is still being taken, or its guest was off.")
        )


def _textual(entry: dict[str, Any]) -> bool:
    return bool(entry.get("kept") and entry["size"] <= DIFF_BYTES_MAX)


def _unified(change: manifests.Change, blobs: dict[str, Blob]) -> str | None:
    sides = [_lines(entry, blobs) for entry in (change.before, change.after)]
    if sides[0] is None or sides[1] is None:
        return None
    before = f"a/{change.path}" if change.before else "/dev/null"
    after = f"b/{change.path}" if change.after else "/dev/null"
    return "\n".join(difflib.unified_diff(sides[0], sides[1], before, after, lineterm=""))


def _lines(entry: dict[str, Any] | None, blobs: dict[str, Blob]) -> list[str] | None:
    """A side's lines; [] where there is no file, None where it is binary, too large, or not kept."""
    if entry is None:
        return []
    blob = blobs.get(entry.get("sha256", ""))
    if blob is None or not _textual(entry):
        return None
    try:
        return blob.content.decode().splitlines()
    except UnicodeDecodeError:
        return None
