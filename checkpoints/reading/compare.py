"""Comparing two branches: what each side did to the files since they parted, where both meet, and what it cost."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from checkpoints.contents import files, manifests
from checkpoints.contents.manifests import Change, identity
from checkpoints.models import Checkpoint
from checkpoints.reading import lines
from checkpoints.reading.diff import of_git
from projects.errors import Conflict

FILES_MAX = 500

HERE, THERE, SAME, CONFLICT = "here", "there", "same", "conflict"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two, and what its line did since the ancestor."""

    checkpoint: Checkpoint
    checkpoints: int
    turns: int  # model calls
    cost_micros: int
    tokens: int
    seconds: int
    changed: int  # files
    grown_bytes: int  # of all files together; negative where they shrank


@dataclass(frozen=True, slots=True)
class File:
    """A file that one side or both changed since the base. Changes are added, removed, modified, or ""."""

    path: str
    status: str  # here, there: one side alone; same: both the same way; conflict: both differently
    here: str
    there: str
    base_size: int | None
    here_size: int | None
    there_size: int | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`base` is the nearest common ancestor whose list of files is kept: the files are compared with its.

    `totals` counts files by status, of all pages; `after` is where the next page goes on.
    """

    ancestor: Checkpoint
    base: Checkpoint
    here: Side
    there: Side
    totals: dict[str, int]
    files: list[File]
    after: str | None


def compare(
    here: Checkpoint, there: Checkpoint, *, beyond: str = "", limit: int = FILES_MAX, git: bool = True
) -> Comparison:
    """Both since they parted; of files, those `beyond` that path. `git`: with what git itself keeps in `.git`.

    Raises `Conflict` where they have nothing in common, or a list of files is missing.
    """
    files.require_listed(here)
    files.require_listed(there)
    own, others = lines.line(here), lines.line(there)
    common = _common(own, others)
    if not common:
        raise Conflict(
            f"{here.handle} and {there.handle} have no ancestor in common. "
            f"See what differs: autovibe diff {here.handle} {there.handle}"
        )
    base = next((one for one in common if one.manifest_id or one.kind == Checkpoint.Kind.GENESIS), common[-1])
    files.require_listed(base)
    sides = [
        {
            change.path: change
            for change in manifests.changes(base.manifest, side.manifest)
            if git or not of_git(change.path)
        }
        for side in (here, there)
    ]
    found = [
        _file(path, sides[0].get(path), sides[1].get(path))
        for path in sorted(sides[0].keys() | sides[1].keys())
    ]
    rest = [file for file in found if file.path > beyond]
    shown = rest[: max(min(limit, FILES_MAX), 1)]
    return Comparison(
        ancestor=common[0],
        base=base,
        here=_side(here, own, len(own) - len(common), sides[0]),
        there=_side(there, others, len(others) - len(common), sides[1]),
        totals=dict.fromkeys((HERE, THERE, SAME, CONFLICT), 0) | Counter(file.status for file in found),
        files=shown,
        after=shown[-1].path if len(rest) > len(shown) else None,
    )


def _common(own: list[Checkpoint], others: list[Checkpoint]) -> list[Checkpoint]:
    """What two lines share, the nearest first: from there on they are the same."""
    known = {one.pk for one in others}
    return [one for one in own if one.pk in known]


def _side(checkpoint: Checkpoint, line: list[Checkpoint], steps: int, changes: dict[str, Change]) -> Side:
    used = lines.cost(line, steps)
    return Side(
        checkpoint=checkpoint,
        checkpoints=steps,
        turns=used.turns,
        cost_micros=used.micros,
        tokens=used.tokens,
        seconds=used.seconds,
        changed=len(changes),
        grown_bytes=sum(_size(change.after) - _size(change.before) for change in changes.values()),
    )


def _size(entry: dict[str, Any] | None) -> int:
    return int((entry or {}).get("size", 0))


def _file(path: str, here: Change | None, there: Change | None) -> File:
    change = here or there
    assert change
    base = change.before
    return File(
        path=path,
        status=_status(here, there),
        here=here.kind if here else "",
        there=there.kind if there else "",
        base_size=(base or {}).get("size"),
        here_size=((here.after if here else base) or {}).get("size"),
        there_size=((there.after if there else base) or {}).get("size"),
    )


def _status(here: Change | None, there: Change | None) -> str:
    if here and there:
        return SAME if _meet(here.after, there.after) else CONFLICT
    return HERE if here else THERE


def _meet(one: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    """Whether both sides came to the same, which may be that the file is gone."""
    return one is other if one is None or other is None else identity(one) == identity(other)
