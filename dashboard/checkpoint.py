"""What a checkpoint's page shows: its files, one of them, and what changed."""

from dataclasses import dataclass
from typing import Any

from checkpoints.contents import files
from checkpoints.models import Checkpoint
from checkpoints.reading import diff
from projects.errors import Refusal

ENTRIES_SHOWN = 2000
FILE_BYTES_SHOWN = 512 * 1024
CHANGES_SHOWN = 200
DIFF_LINES_SHOWN = 1500
WITHOUT = {  # why there is no diff, after `checkpoints.reading.diff.Difference`
    "binary": "It is binary.",
    "large": "It is too large to be compared line by line.",
    "unkept": "Its content is in the snapshot only.",
    "damaged": "Its content is damaged, or gone from the store.",
    "link": "It is a link.",
}


@dataclass(frozen=True)
class Line:
    """A line of a unified diff: add, del, at (a hunk's head) or same."""

    kind: str
    mark: str
    text: str


@dataclass(frozen=True)
class Change:
    """A changed file with its diff, or why there is none to show. `before_path`: what a renamed one was called."""

    path: str
    kind: str
    before_path: str | None
    without: str
    size_before: int | None
    size_after: int | None
    lines: list[Line]
    cut: bool

    @property
    def added(self) -> int:
        return sum(line.kind == "add" for line in self.lines)

    @property
    def removed(self) -> int:
        return sum(line.kind == "del" for line in self.lines)


@dataclass(frozen=True)
class Listing:
    """The files of a checkpoint, git's own apart; or the sentence why there are none."""

    files: list[dict[str, Any]]
    git: list[dict[str, Any]]
    hidden: int
    problem: str = ""


@dataclass(frozen=True)
class Shown:
    """A file's text; or the sentence why it is not shown."""

    path: str
    lines: list[str]
    problem: str = ""


def listing(checkpoint: Checkpoint) -> Listing:
    try:
        found = [entry for entry in files.entries(checkpoint) if entry["kind"] != "dir"]
    except Refusal as refusal:
        return Listing([], [], 0, str(refusal))
    git = [entry for entry in found if f"/{entry['path']}".startswith("/.git/") or "/.git/" in entry["path"]]
    own = [entry for entry in found if entry not in git] if git else found
    return Listing(own[:ENTRIES_SHOWN], git[:ENTRIES_SHOWN], max(len(own) - ENTRIES_SHOWN, 0))


def shown(checkpoint: Checkpoint, path: str) -> Shown:
    """One file. Raises `NotThere`."""
    entry = next((entry for entry in files.entries(checkpoint) if entry["path"] == path), None)
    if entry and entry["kind"] == "link":
        return Shown(path, [], f"A link to {entry.get('target', '?')}.")
    try:
        content = files.content(checkpoint, path)
    except Refusal as refusal:
        if refusal.status == 404:
            raise
        return Shown(path, [], str(refusal))
    if len(content) > FILE_BYTES_SHOWN:
        return Shown(path, [], f"It has {len(content):,} bytes, too many to show here. Download it instead.")
    try:
        return Shown(path, content.decode().splitlines(), "" if content else "The file is empty.")
    except UnicodeDecodeError:
        return Shown(path, [], "It is not text. Download it instead.")


def differences(before: Checkpoint, after: Checkpoint) -> dict[str, Any]:
    """What differs, and what that comes to; or `problem`, the sentence why it cannot be said."""
    try:
        found = diff.between(before, after, git=False, limit=CHANGES_SHOWN)
    except Refusal as refusal:
        return {"changes": [], "problem": str(refusal)}
    return {
        "changes": [_change(change) for change in found.changes],
        "totals": found.totals,
        "more_changes": found.totals.files - len(found.changes),
    }


def _change(change: diff.Difference) -> Change:
    lines = (change.diff or "").split("\n")[2:]  # the first two name the files
    return Change(
        path=change.path,
        kind=change.change,
        before_path=change.before_path,
        without=WITHOUT.get(change.without, ""),
        size_before=change.size_before,
        size_after=change.size_after,
        lines=[_line(line) for line in lines[:DIFF_LINES_SHOWN]],
        cut=len(lines) > DIFF_LINES_SHOWN,
    )


def _line(line: str) -> Line:
    if line.startswith("@@"):
        return Line("at", "", line)
    kind = {"+": "add", "-": "del"}.get(line[:1], "same")
    return Line(kind, {"add": "+", "del": "−"}.get(kind, ""), line[1:])
