"""Manifests as the guest hands them out: reading them, and keeping what is new. See `machines/guest/runner.py`."""

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from checkpoints.models import Blob, Checkpoint, Manifest

# The runner hands out contents up to this size; larger files are in the snapshot only.
CONTENT_BYTES_MAX = 1024**2


class Summary(NamedTuple):
    """What the guest says about its files, before the list itself is read."""

    digest: str
    files: int
    size: int
    changed: int

    @classmethod
    def parse(cls, printed: bytes) -> "Summary":
        found = json.loads(printed)
        return cls(found["digest"], found["files"], found["bytes"], found["changed"])


def store(
    checkpoint: Checkpoint,
    summary: Summary,
    *,
    read: Callable[[], bytes],
    fetch: Callable[[list[str]], bytes],
) -> None:
    """Keep the manifest and the contents that are new; an unchanged state is not even read."""
    manifest = Manifest.objects.filter(pk=summary.digest).first()
    if manifest is None:
        manifest = _keep(summary, read(), fetch)
    changed = _changed(manifest, checkpoint.parent)
    Checkpoint.objects.filter(pk=checkpoint.pk).update(manifest=manifest, changed=changed)
    checkpoint.manifest, checkpoint.changed = manifest, changed


def _keep(summary: Summary, raw: bytes, fetch: Callable[[list[str]], bytes]) -> Manifest:
    entries, contents = _parse(raw)
    _keep_contents(contents)
    if missing := _missing(entries):
        _keep_contents(_parse(fetch(missing))[1])
    manifest, _ = Manifest.objects.get_or_create(
        digest=summary.digest,
        defaults={"files": summary.files, "size": summary.size, "body": Manifest.packed(entries)},
    )
    return manifest


def _parse(raw: bytes) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Entries, and contents by hash. Every line is an object; one with `content` is a content."""
    entries: list[dict[str, Any]] = []
    contents: dict[str, bytes] = {}
    for line in _lines(raw):
        if "content" in line:
            contents[line["sha256"]] = base64.b64decode(line["content"])
        elif "path" in line:
            entries.append(line)
    return sorted(entries, key=lambda entry: str(entry["path"])), contents


def _lines(raw: bytes) -> Iterator[dict[str, Any]]:
    for line in gzip.decompress(raw).splitlines():
        yield json.loads(line)


def _keep_contents(contents: dict[str, bytes]) -> None:
    """The guest is not trusted: a content is kept under the hash that it really has."""
    true = {hashlib.sha256(content).hexdigest(): content for content in contents.values()}
    known = set(Blob.objects.filter(pk__in=true).values_list("pk", flat=True))
    new = [Blob.holding(sha256, content) for sha256, content in true.items() if sha256 not in known]
    Blob.objects.bulk_create(new, ignore_conflicts=True)


def _missing(entries: list[dict[str, Any]]) -> list[str]:
    small = {
        entry["sha256"]
        for entry in entries
        if entry["kind"] == "file"
        and entry["size"] <= CONTENT_BYTES_MAX
        and "/.git/" not in f"/{entry['path']}"
    }
    known = set(Blob.objects.filter(pk__in=small).values_list("pk", flat=True))
    return sorted(small - known)[:200]


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
    return {entry["path"]: entry for entry in entries if entry["kind"] != "dir" and in_workspace(entry["path"])}


def in_workspace(path: str) -> bool:
    """Absolute paths are the agent's own history: it is kept with the state, and is nobody's work."""
    return not path.startswith("/")


def _identity(entry: dict[str, Any]) -> tuple[object, ...]:
    return entry["kind"], entry.get("mode"), entry.get("sha256"), entry.get("target")
