"""Lists of files as guests hand them out: keeping what is new, and telling lists apart.

Guests are not trusted: contents are hashed again, and what one guest says is never believed of another.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from typing import Any, NamedTuple

from django.conf import settings

from checkpoints.contents import captures, garbage, parts, pieces
from checkpoints.contents.captures import Entry, is_history
from checkpoints.models import Blob, Checkpoint, Manifest
from projects.errors import Conflict

# What is asked for at once: so many pieces, and so many bytes. The guest's agent hands out 16 MiB in one answer.
FETCH_PIECES, FETCH_BYTES = 200, 8 * 1024**2

Fetch = Callable[[list[str]], bytes]


@garbage.captures_at_work()
def store(
    checkpoint: Checkpoint,
    digest: str,
    *,
    read: Callable[[], bytes],
    fetch: Fetch,
    handed: int = 0,
    budget: int | None = None,
) -> None:
    """Keep the manifest and the contents that are new, of these `budget` bytes at most; None: all of them.

    `digest` is what the guest says its files amount to. It is believed only against what the same guest said
    before: an unchanged state is then not read again, unless contents are `handed` in that were owed. Across guests
    our own hash of the list counts.
    """
    before = last_listed(checkpoint.parent)
    same_guest = before is not None and before.guest_id == checkpoint.guest_id
    if digest and before and same_guest and before.digest == digest and not handed:
        manifest, changed = before.manifest, 0
    else:
        listing = captures.listing(read())
        if listing.since and not (before and same_guest and before.digest == listing.since):
            raise ValueError("it tells what changed since another state than the last")
        manifest, changed = _keep(listing, before.manifest if before else None, fetch, budget)
    Checkpoint.objects.filter(pk=checkpoint.pk).update(manifest=manifest, changed=changed, digest=digest)
    checkpoint.manifest, checkpoint.changed, checkpoint.digest = manifest, changed, digest


@garbage.captures_at_work()
def complete(checkpoint: Checkpoint, fetch: Fetch, *, budget: int | None = None) -> None:
    """Ask for the contents that were not handed out yet; the list says then that they are kept."""
    manifest = checkpoint.manifest
    assert manifest
    lacking = lacks(manifest)
    proven = _fetch(lacking, set(), fetch, budget)
    kept = {entry["path"]: entry | {"kept": True} for entry in lacking if proven.issuperset(pieces.of(entry))}
    if kept:
        made, _ = parts.change(manifest, kept)
        manifest = parts.store(made, files=manifest.files, size=manifest.size)
        Checkpoint.objects.filter(pk=checkpoint.pk).update(manifest=manifest)
        checkpoint.manifest = manifest


def lacks(manifest: Manifest) -> list[Entry]:
    """The files whose contents are to be kept and are not."""
    files = (entry for entry in manifest.entries if entry["kind"] == "file")
    return [entry for entry in files if not entry.get("kept") and _is_wanted(entry)]


def last_listed(checkpoint: Checkpoint | None) -> Checkpoint | None:
    """The nearest on the line that has a list of files: those of guests that were off have none."""
    while checkpoint and checkpoint.manifest_id is None:
        checkpoint = checkpoint.parent
    return checkpoint


def _keep(
    listing: captures.Listing, before: Manifest | None, fetch: Fetch, budget: int | None
) -> tuple[Manifest, int]:
    """The manifest, and how many of the workspace's files and links differ from those before."""
    files = [entry for entry in listing.entries.values() if entry and entry["kind"] == "file"]
    wanted = [entry for entry in files if _is_wanted(entry)]
    proven = _keep_contents(listing.contents)
    if before:
        named = {digest for entry in wanted for digest in pieces.of(entry)}
        proven |= parts.kept_of(before, named - proven)
    left = None if budget is None else budget - sum(map(len, listing.contents.values()))
    proven |= _fetch(wanted, proven, fetch, left)
    for entry in files:
        entry["kept"] = _is_wanted(entry) and proven.issuperset(pieces.of(entry))
    return _amended(listing, before) if listing.since and before else _whole(listing, before)


def _whole(listing: captures.Listing, before: Manifest | None) -> tuple[Manifest, int]:
    entries = [entry for _, entry in sorted(listing.entries.items()) if entry]
    work = [entry for entry in entries if _counts(entry)]
    size = _possible(len(work), sum(entry["size"] for entry in work))
    manifest = parts.keep(entries, files=len(work), size=size)
    return manifest, 0 if before == manifest else sum(1 for _ in changes(before, manifest))


def _amended(listing: captures.Listing, before: Manifest) -> tuple[Manifest, int]:
    made, differences = parts.change(before, listing.entries)
    files, size = before.files, before.size
    for difference in differences:
        for entry, sign in ((difference.before, -1), (difference.after, 1)):
            if entry and _counts(entry):
                files, size = files + sign, size + sign * entry["size"]
    old = [one.before for one in differences if one.before]
    new = [one.after for one in differences if one.after]
    return parts.store(made, files=files, size=_possible(files, size)), sum(1 for _ in _changes(old, new))


def _possible(files: int, size: int) -> int:
    """The size, if so many files can have it. A list may have grown to that in many steps. Raises ValueError."""
    if files > captures.ENTRIES_MAX or size > captures.FILE_BYTES_MAX:
        raise ValueError(f"{files:,} files with {size:,} bytes are more than can be listed")
    return size


def _counts(entry: Entry) -> bool:
    return bool(entry["kind"] == "file" and in_workspace(entry["path"]))


def _is_wanted(entry: Entry) -> bool:
    """Whether a file's content is to be kept, and can be: a large one in pieces."""
    history = is_history(entry)
    most = captures.HISTORY_BYTES_MAX if history else settings.CHECKPOINT_FILE_MIB_MAX * 1024**2
    piece = captures.HISTORY_PIECE_BYTES if history else captures.PIECE_BYTES
    return bool(entry["size"] <= most and (entry["size"] <= piece or "chunks" in entry))


def _fetch(wanted: list[Entry], proven: set[str], fetch: Fetch, budget: int | None) -> set[str]:
    """Ask for contents that nobody has proven to have yet, the agent's history and small files first."""
    found: set[str] = set()
    batch: list[str] = []
    size = 0
    for entry in sorted(wanted, key=lambda entry: (not is_history(entry), entry["size"])):
        missing = [digest for digest in pieces.of(entry) if digest not in proven]
        needs = min(entry["size"], len(missing) * captures.PIECE_BYTES)
        if budget is not None and needs > budget:
            continue
        budget = None if budget is None else budget - needs
        for digest in dict.fromkeys(missing):
            batch.append(digest)
            size += min(needs, captures.PIECE_BYTES)
            if len(batch) == FETCH_PIECES or size >= FETCH_BYTES:
                found |= _keep_contents(captures.listing(fetch(batch)).contents)
                batch, size = [], 0
    return found | _keep_contents(captures.listing(fetch(batch)).contents) if batch else found


def _keep_contents(contents: dict[str, bytes]) -> set[str]:
    """Keep contents under the hashes that they really have, in place of damaged ones as well; those hashes."""
    true = {hashlib.sha256(content).hexdigest(): content for content in contents.values()}
    sound = {blob.pk for blob in Blob.objects.filter(pk__in=true) if pieces.sound(blob) is not None}
    # In one order, whoever writes: rows that two write at once are locked.
    new = [Blob.holding(sha256, true[sha256]) for sha256 in sorted(true.keys() - sound)]
    Blob.objects.bulk_create(
        new, update_conflicts=True, unique_fields=["sha256"], update_fields=["size", "body"]
    )
    return set(true)


# --- how lists differ ---


class Change(NamedTuple):
    """How one path differs between two states; `before` and `after` are manifest entries."""

    path: str
    kind: str  # added, removed, modified
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def changes(before: Manifest | None, after: Manifest | None) -> Iterator[Change]:
    """The workspace's files and links that differ, by path. Directories and times do not count."""
    return _changes(*parts.unshared(before, after))


def _changes(before: Iterable[Entry], after: Iterable[Entry]) -> Iterator[Change]:
    old, new = _by_path(before), _by_path(after)
    for path in sorted(old.keys() | new.keys()):
        a, b = old.get(path), new.get(path)
        if a is None or b is None:
            yield Change(path, "added" if a is None else "removed", a, b)
        elif identity(a) != identity(b):
            yield Change(path, "modified", a, b)


def _by_path(entries: Iterable[Entry]) -> dict[str, Entry]:
    return {
        entry["path"]: entry for entry in entries if entry["kind"] != "dir" and in_workspace(entry["path"])
    }


def in_workspace(path: str) -> bool:
    """Absolute paths are the agent's own history: it is kept with the state, and is nobody's work."""
    return not path.startswith("/")


def identity(entry: dict[str, Any]) -> tuple[object, ...]:
    """What makes two entries of a path the same: not their times."""
    return entry["kind"], entry.get("mode"), entry.get("sha256"), entry.get("target")


# --- the agent's history, which a checkpoint that shares a snapshot has its own of ---


def overlaid(checkpoint: Checkpoint) -> list[parts.Difference]:
    """How the files of the agent's history differ from those in the snapshot that it shares, the oldest first."""
    holder = checkpoint.shares
    if holder is None:
        return []
    sides = parts.unshared(holder.manifest, checkpoint.manifest)
    old, new = ({entry["path"]: entry for entry in side if is_history(entry)} for side in sides)
    found = [parts.Difference(old.get(path), entry) for path, entry in new.items() if entry["kind"] == "file"]
    differing = [one for one in found if one.before is None or identity(one.before) != identity(_after(one))]
    return sorted(differing, key=lambda one: int(_after(one)["mtime_ns"]))


def overlay(checkpoint: Checkpoint) -> list[tuple[str, bytes, int]]:
    """Guest path, content and mode of what is to be written over the snapshot that it shares; [] where it has its own.

    Raises `Conflict` when a content is gone or damaged.
    """
    entries = [_after(one) for one in overlaid(checkpoint)]
    return [(guest_path(entry), content_of(entry), int(entry["mode"])) for entry in entries]


def content_of(entry: Entry) -> bytes:
    """The content that is kept for a file. Raises `Conflict` when it is gone, damaged, or not what was said."""
    ((_, content),) = pieces.read([entry], pieces.of)
    whole = b"".join(content.pieces) if entry.get("kept") and content else None
    if whole is None or hashlib.sha256(whole).hexdigest() != entry["sha256"]:
        raise Conflict(f"The content that was kept of {entry['path']} is gone, or damaged.")
    return whole


def common_bytes(before: Entry, after: Entry) -> int:
    """How far two files of the agent's history have the same pieces."""
    pairs = zip(pieces.of(before), pieces.of(after), strict=False)
    return captures.HISTORY_PIECE_BYTES * sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def guest_path(entry: Entry) -> str:
    """Where a file is in the guest."""
    return entry["path"] if not in_workspace(entry["path"]) else f"/workspace/{entry['path']}"


def _after(difference: parts.Difference) -> Entry:
    assert difference.after
    return difference.after
