"""Reading checkpoints: their files, and one file's content."""

from typing import Any

from django.conf import settings

from checkpoints.contents import manifests
from checkpoints.models import Checkpoint
from checkpoints.states import State
from projects.errors import Conflict, NotThere


def entries(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """The workspace's entries: path, kind, mode, size, sha256 or target, mtime. A genesis has none."""
    return [entry for entry in _listed(checkpoint) if manifests.in_workspace(entry["path"])]


def find(checkpoint: Checkpoint, path: str) -> dict[str, Any]:
    """The entry of one file; an absolute path is one of the agent's own. Raises `NotThere`."""
    entry = next((entry for entry in _listed(checkpoint) if entry["path"] == path.rstrip("/")), None)
    if entry is None or entry["kind"] != "file":
        raise NotThere(
            f"Checkpoint {checkpoint.handle} has no file {path!r}. See: autovibe files {checkpoint.handle}"
        )
    return entry


def content(checkpoint: Checkpoint, path: str) -> bytes:
    """One file's bytes; an absolute path is one of the agent's own.

    Raises `NotThere`, or `Conflict` when the content is in the snapshot only, or damaged.
    """
    entry = find(checkpoint, path)
    if entry.get("kept"):
        try:
            return manifests.content_of(entry)
        except Conflict as damage:
            raise Conflict(f"{damage} {_elsewhere(checkpoint)}".strip()) from None
    raise Conflict(
        f"{path} ({entry['size']:,} bytes) is kept in the snapshot only: it has more than "
        f"{settings.CHECKPOINT_FILE_MIB_MAX} MiB, or there was no time to hand it over before its agent went on. "
        f"Branch from {checkpoint.handle} to read it."
    )


def _elsewhere(checkpoint: Checkpoint) -> str:
    """Where a damaged content may still be read: not in a snapshot that was taken of an earlier state."""
    return "" if checkpoint.shares_id else f"Its snapshot may have it: branch from {checkpoint.handle}."


def _listed(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    require_listed(checkpoint)
    return checkpoint.manifest.entries if checkpoint.manifest else []


def require_listed(checkpoint: Checkpoint) -> None:
    """Raises `Conflict` when it is not known what files it has."""
    if checkpoint.manifest is None and checkpoint.kind != Checkpoint.Kind.GENESIS:
        why = checkpoint.error or "it is still being taken, or its guest was off."
        if checkpoint.state in (State.PRUNING, State.PRUNED):
            why = "it was pruned, and only its record is left."
        raise Conflict(f"Checkpoint {checkpoint.handle} has no list of files: {why}")
