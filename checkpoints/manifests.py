"""Manifests as guests hand them out (`machines/guest/runner.py`): reading them, and keeping what is new.

Guests are not trusted: contents are hashed again, and what one guest says is never believed of another.
"""

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from checkpoints import parts
from checkpoints.models import Blob, Checkpoint, Manifest

# The runner hands out contents up to this size; larger files are in the snapshot only.
CONTENT_BYTES_MAX = 1024**2
FETCH_BATCH = 200
# A list of this many bytes has about a million files; what is longer is not a list but an attack.
LIST_BYTES_MAX = 256 * 1024**2
# What reading a guest's words can raise.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, zlib.error)
SHA256 = re.compile(r"[0-9a-f]{64}")


def store(
    checkpoint: Checkpoint,
    digest: str,
    *,
    read: Callable[[], bytes],
    fetch: Callable[[list[str]], bytes],
) -> None:
    """Keep the manifest and the contents that are new.

    `digest` is what the guest says its files amount to. It is believed only against what the same guest said
    before: an unchanged state is then not read again. Across guests our own hash of the list counts.
    """
    before = _last_listed(checkpoint.parent)
    if (
        digest
        and before
        and before.manifest
        and (before.guest_id, before.digest) == (checkpoint.guest_id, digest)
    ):
        manifest, changed = before.manifest, 0
    else:
        manifest = _keep(read(), before.manifest if before else None, fetch)
        changed = _changed(manifest, before)
    Checkpoint.objects.filter(pk=checkpoint.pk).update(manifest=manifest, changed=changed, digest=digest)
    checkpoint.manifest, checkpoint.changed, checkpoint.digest = manifest, changed, digest


def _last_listed(checkpoint: Checkpoint | None) -> Checkpoint | None:
    """The nearest on the line that has a list of files: those of guests that were off have none."""
    while checkpoint and checkpoint.manifest_id is None:
        checkpoint = checkpoint.parent
    return checkpoint


def _keep(raw: bytes, before: Manifest | None, fetch: Callable[[list[str]], bytes]) -> Manifest:
    entries, contents = _parse(raw)
    proven = _keep_contents(contents) | _kept(before)
    missing = sorted(_small(entries) - proven)
    for start in range(0, len(missing), FETCH_BATCH):
        proven |= _keep_contents(_parse(fetch(missing[start : start + FETCH_BATCH]))[1])
    for entry in entries:
        if entry["kind"] == "file":
            entry["kept"] = entry["sha256"] in proven
    files = [entry for entry in entries if entry["kind"] == "file" and in_workspace(entry["path"])]
    return parts.keep(entries, files=len(files), size=sum(entry["size"] for entry in files))


def _parse(raw: bytes) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Entries, and contents by hash. Every line is an object; one with `content` is a content."""
    entries: list[dict[str, Any]] = []
    contents: dict[str, bytes] = {}
    for line in _lines(raw):
        if "content" in line:
            contents[line["sha256"]] = base64.b64decode(line["content"])
        elif "path" in line:
            entries.append(_entry(line))
    return sorted(entries, key=lambda entry: str(entry["path"])), contents


def _entry(line: dict[str, Any]) -> dict[str, Any]:
    """A line that is an entry, with nothing else in it. Raises ValueError."""
    entry = {"path": str(line["path"]), "kind": line["kind"], "mode": int(line.get("mode", 0))}
    if entry["kind"] == "file":
        entry |= {
            "size": int(line["size"]),
            "sha256": str(line["sha256"]),
            "mtime_ns": int(line.get("mtime_ns", 0)),
        }
        if not SHA256.fullmatch(entry["sha256"]) or entry["size"] < 0:
            raise ValueError(f"{entry['path']} has no proper size or hash")
    elif entry["kind"] == "link":
        entry["target"] = str(line["target"])
    elif entry["kind"] != "dir":
        raise ValueError(f"{entry['path']} is a {entry['kind']}")
    return entry


def _lines(raw: bytes) -> Iterator[dict[str, Any]]:
    inflated = zlib.decompressobj(zlib.MAX_WBITS | 16)  # gzip
    text = inflated.decompress(raw, LIST_BYTES_MAX)
    if not inflated.eof and raw:
        raise ValueError("it is cut off, or too long")
    for line in text.splitlines():
        yield json.loads(line)


def _keep_contents(contents: dict[str, bytes]) -> set[str]:
    """Keep contents under the hashes that they really have; those hashes."""
    true = {hashlib.sha256(content).hexdigest(): content for content in contents.values()}
    known = set(Blob.objects.filter(pk__in=true).values_list("pk", flat=True))
    new = [Blob.holding(sha256, content) for sha256, content in true.items() if sha256 not in known]
    Blob.objects.bulk_create(new, ignore_conflicts=True)
    return set(true)


def _kept(manifest: Manifest | None) -> set[str]:
    """Hashes whose contents the line of checkpoints has handed in already.

    A guest that merely names a hash does not get to read what another project stored under it.
    """
    return parts.kept_contents(manifest.entries) if manifest else set()


def _small(entries: list[dict[str, Any]]) -> set[str]:
    return {
        entry["sha256"]
        for entry in entries
        if entry["kind"] == "file"
        and entry["size"] <= CONTENT_BYTES_MAX
        and "/.git/objects/" not in f"/{entry['path']}"
    }


def _changed(manifest: Manifest, parent: Checkpoint | None) -> int:
    before = parent.manifest if parent else None
    return 0 if before == manifest else sum(1 for _ in changes(before, manifest))


class Change(NamedTuple):
    """How one path differs between two states; `before` and `after` are manifest entries."""

    path: str
    kind: str  # added, removed, modified
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def changes(before: Manifest | None, after: Manifest | None) -> Iterator[Change]:
    """The workspace's files and links that differ, by path. Directories and times do not count."""
    old, new = _by_path(before), _by_path(after)
    for path in sorted(old.keys() | new.keys()):
        a, b = old.get(path), new.get(path)
        if a is None or b is None:
            yield Change(path, "added" if a is None else "removed", a, b)
        elif _identity(a) != _identity(b):
            yield Change(path, "modified", a, b)


def _by_path(manifest: Manifest | None) -> dict[str, dict[str, Any]]:
    entries = manifest.entries if manifest else []
    return {
        entry["path"]: entry for entry in entries if entry["kind"] != "dir" and in_workspace(entry["path"])
    }


def in_workspace(path: str) -> bool:
    """Absolute paths are the agent's own history: it is kept with the state, and is nobody's work."""
    return not path.startswith("/")


def _identity(entry: dict[str, Any]) -> tuple[object, ...]:
    return entry["kind"], entry.get("mode"), entry.get("sha256"), entry.get("target")
