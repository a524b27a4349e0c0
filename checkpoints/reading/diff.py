"""How two checkpoints differ: totals, each changed path a page at a time, and a text diff where there can be one."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from checkpoints.contents import files, manifests, pieces
from checkpoints.contents.manifests import Change
from checkpoints.models import Blob, Checkpoint
from projects.errors import NotThere

# Larger sides are not compared line by line.
TEXT_BYTES_MAX = 256 * 1024
CHANGES_MAX = 200
# A page ends early when the texts to compare on it come to so much.
PAGE_BYTES_MAX = 4 * 1024**2

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """One changed path. Where there is no `diff`, `without` says why.

    It is `binary`, `large`, `unkept` (its content is in the snapshot only), `damaged` or a `link`.
    """

    path: str
    change: str  # added, removed, modified, renamed
    before_path: str | None  # of a renamed file: what it was called
    before: Entry | None
    after: Entry | None
    diff: str | None
    without: str

    @property
    def size_before(self) -> int | None:
        return (self.before or {}).get("size")

    @property
    def size_after(self) -> int | None:
        return (self.after or {}).get("size")


@dataclass(frozen=True, slots=True)
class Totals:
    """Of all changes, not of one page. Bytes are those of the changed files on either side."""

    added: int
    removed: int
    modified: int
    renamed: int
    bytes_before: int
    bytes_after: int

    @property
    def files(self) -> int:
        return self.added + self.removed + self.modified + self.renamed


@dataclass(frozen=True, slots=True)
class Page:
    """Some changes, by path. `after` is where the next page goes on."""

    totals: Totals
    changes: list[Difference]
    after: str | None


def between(
    before: Checkpoint,
    after: Checkpoint,
    *,
    path: str = "",
    beyond: str = "",
    limit: int = CHANGES_MAX,
    git: bool = True,
) -> Page:
    """What changed from one to the other, of paths `beyond` that one; of `path` alone where it is given.

    `git`: with what git itself keeps in `.git`. Raises `Conflict` where a list of files is missing, and `NotThere` for
    a path that neither has. A few queries, whatever the number of changes.
    """
    files.require_listed(before)
    files.require_listed(after)
    changes = manifests.changes(before.manifest, after.manifest)
    found = renamed(change for change in changes if git or not of_git(change.path))
    totals = _totals(found)
    if path:
        found = [change for change in found if path in (change.path, _before_path(change))]
        if not found:
            _require_path(path, before, after)
    rest = [change for change in found if change.path > beyond]
    some = _page(rest[: max(min(limit, CHANGES_MAX), 1)])
    blobs = _blobs(some)
    more = len(rest) > len(some)
    return Page(totals, [_difference(change, blobs) for change in some], some[-1].path if more else None)


def renamed(found: Iterable[Change]) -> list[Change]:
    """The changes, with those that removed a file and added the same content elsewhere made one, by path.

    A renamed file's `before` has another path than the change.
    """
    changes = list(found)
    gone: dict[str, list[Change]] = {}
    for change in changes:
        if change.kind == "removed" and (sha256 := _content(change.before)):
            gone.setdefault(sha256, []).append(change)
    moved: set[str] = set()
    made: list[Change] = []
    for change in changes:
        twins = gone.get(_content(change.after)) if change.kind == "added" else None
        if twins:
            old = twins.pop(0)
            moved.add(old.path)
            change = Change(change.path, "renamed", old.before, change.after)
        made.append(change)
    return [change for change in made if change.kind != "removed" or change.path not in moved]


def of_git(path: str) -> bool:
    """Whether git keeps it for itself."""
    return "/.git/" in f"/{path}"


def _content(entry: Entry | None) -> str:
    """The hash of a file that has content; empty ones are all alike, and nobody moved them."""
    return str(entry["sha256"]) if entry and entry.get("size") else ""


def _before_path(change: Change) -> str | None:
    return str(change.before["path"]) if change.kind == "renamed" and change.before else None


def _totals(found: list[Change]) -> Totals:
    kinds = [change.kind for change in found]
    return Totals(
        added=kinds.count("added"),
        removed=kinds.count("removed"),
        modified=kinds.count("modified"),
        renamed=kinds.count("renamed"),
        bytes_before=sum((change.before or {}).get("size", 0) for change in found),
        bytes_after=sum((change.after or {}).get("size", 0) for change in found),
    )


def _require_path(path: str, *checkpoints: Checkpoint) -> None:
    for checkpoint in checkpoints:
        if any(entry["path"] == path for entry in files.entries(checkpoint)):
            return
    handles = " nor ".join(one.handle for one in checkpoints)
    raise NotThere(f"Neither {handles} has a file {path!r}.")


def _page(found: list[Change]) -> list[Change]:
    """As many as may be read at once; at least one."""
    total = 0
    for at, change in enumerate(found):
        total += sum(entry["size"] for entry in (change.before, change.after) if entry and _textual(entry))
        if at and total > PAGE_BYTES_MAX:
            return found[:at]
    return found


def _textual(entry: Entry) -> bool:
    return not _without(entry)


def _blobs(found: list[Change]) -> dict[str, Blob]:
    sides = [side for change in found for side in (change.before, change.after)]
    wanted = {sha256 for side in sides if side and _textual(side) for sha256 in pieces.of(side)}
    return Blob.objects.in_bulk(wanted)


def _difference(change: Change, blobs: dict[str, Blob]) -> Difference:
    before, after = _text(change.before, blobs), _text(change.after, blobs)
    without = before.without or after.without
    return Difference(
        path=change.path,
        change=change.kind,
        before_path=_before_path(change),
        before=change.before,
        after=change.after,
        diff=None if without else _unified(change, before.lines, after.lines),
        without=without,
    )


class _Text(NamedTuple):
    """A side's lines, or why there are none to compare."""

    lines: list[str]
    without: str = ""


def _text(entry: Entry | None, blobs: dict[str, Blob]) -> _Text:
    if entry is None:
        return _Text([])
    if without := _without(entry):
        return _Text([], without)
    found = [pieces.sound(blobs.get(sha256)) for sha256 in pieces.of(entry)]
    if None in found:
        return _Text([], "damaged")
    content = b"".join(piece for piece in found if piece)
    if len(content) > TEXT_BYTES_MAX:  # whatever the guest says
        return _Text([], "large")
    try:
        return _Text(content.decode().splitlines())
    except UnicodeDecodeError:
        return _Text([], "binary")


def _without(entry: Entry) -> str:
    if entry["kind"] != "file":
        return "link"
    if entry["size"] > TEXT_BYTES_MAX:
        return "large"
    return "" if entry.get("kept") else "unkept"


def _unified(change: Change, before: list[str], after: list[str]) -> str:
    old = f"a/{_before_path(change) or change.path}" if change.before else "/dev/null"
    new = f"b/{change.path}" if change.after else "/dev/null"
    return "\n".join(difflib.unified_diff(before, after, old, new, lineterm=""))
