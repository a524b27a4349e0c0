"""Walk along the chain, link by link, and name what does not follow. Pure: rows come from a database or from a file."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from events.chain.canonical import NOTHING, digest

# So many broken links are compared with each other, to tell an exchange from an edit.
COMPARED_MAX = 300
# So many events that were put into the chain one after the other are known as such.
_REMEMBERED = 16


class Row(NamedTuple):
    """A link, and the text of its event; None where there is no such event. `previous`: what an export says it is."""

    position: int
    event_id: int
    digest: str
    text: str | None
    previous: str | None = None


@dataclass(frozen=True)
class Finding:
    """Something that was done to the chain."""

    kind: str
    position: int
    sentence: str


@dataclass(frozen=True)
class Broken:
    """A link whose digest is not that of its event and the digest before it."""

    row: Row
    text: str
    previous: str
    before: tuple[str, ...]  # digests of some links before it, the nearest first

    @property
    def expected(self) -> str:
        return digest(self.previous, self.text)


@dataclass
class Walk:
    """What is known so far. `position` and `digest` are those of the last link."""

    position: int = 0
    digest: str = NOTHING
    links: int = 0
    findings: list[Finding] = field(default_factory=list)
    partial: bool = False  # links may be left out
    _broken: list[Broken] = field(default_factory=list)
    _before: deque[str] = field(default_factory=lambda: deque([NOTHING], _REMEMBERED))

    def over(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Each row once it has been looked at; when all have been, `findings` are complete."""
        for row in rows:
            self._look(row)
            yield row
        self.findings += explain(self._broken)
        self.findings.sort(key=lambda found: found.position)

    def _look(self, row: Row) -> None:
        previous = self._previous(row)
        if row.text is None:
            self._find("deleted", row, f"{_named(row)} was deleted. Its digest was {row.digest}.")
        elif previous is not None and digest(previous, row.text) != row.digest:
            self._broken.append(Broken(row, row.text, previous, tuple(self._before)))
        self.links += 1
        self.position, self.digest = row.position, row.digest
        self._before.appendleft(row.digest)

    def _previous(self, row: Row) -> str | None:
        """The digest that the row has to follow; None where nobody can say."""
        if row.position == self.position + 1:
            return self.digest
        if row.position <= self.position:
            self._find("doubled", row, f"Position {row.position} is in the chain twice: {_named(row)}.")
        elif not self.partial:
            self._find("gap", row, _gap(self.position + 1, row))
        return row.previous

    def _find(self, kind: str, row: Row, sentence: str) -> None:
        self.findings.append(Finding(kind, row.position, sentence))


def explain(broken: list[Broken]) -> Iterator[Finding]:
    """What was done: an edit, an exchange, an insertion, or a digest that was replaced."""
    compared = broken[:COMPARED_MAX]
    for one in broken:
        others = [other for other in compared if other is not one]
        if not any(_follows(one, other) for other in others):
            yield _reordered(one, others) or _inserted(one) or _replaced(one, others) or _edited(one)


def _reordered(one: Broken, others: list[Broken]) -> Finding | None:
    for other in others:
        renamed = other.text.replace(f'"id": {other.row.event_id},', f'"id": {one.row.event_id},', 1)
        if digest(one.previous, renamed) == one.row.digest:
            why = f"what it was is event {other.row.event_id} now"
        elif digest(other.previous, one.text) == one.row.digest:
            why = "its digest belongs to another place"
        else:
            continue
        return Finding("reordered", one.row.position, f"{_named(one.row)} was reordered: {why}.")
    return None


def _inserted(one: Broken) -> Finding | None:
    """It follows an earlier link: what is between has been put there."""
    for skipped, earlier in enumerate(one.before):
        if skipped and digest(earlier, one.text) == one.row.digest:
            first, last = one.row.position - skipped, one.row.position - 1
            places = f"Position {first} was" if skipped == 1 else f"Positions {first} to {last} were"
            sentence = f"{places} inserted: {_named(one.row)} follows position {first - 1}."
            return Finding("inserted", first, sentence)
    return None


def _follows(one: Broken, other: Broken) -> bool:
    """Nothing was done to it: it follows what the other is, elsewhere, or was."""
    return one.row.digest in (digest(other.row.digest, one.text), digest(other.expected, one.text))


def _replaced(one: Broken, others: list[Broken]) -> Finding | None:
    """The next one follows what its digest should be: it is the digest that was edited, not the event."""
    if not any(digest(one.expected, other.text) == other.row.digest for other in others):
        return None
    sentence = f"The digest of {_named(one.row)} was replaced: it is {one.row.digest}, not {one.expected}."
    return Finding("replaced", one.row.position, sentence)


def _edited(one: Broken) -> Finding:
    sentence = (
        f"{_named(one.row)} was edited, or one before it was removed: "
        f"the chain says {one.row.digest}, what there is comes to {one.expected}."
    )
    return Finding("edited", one.row.position, sentence)


def _named(row: Row) -> str:
    return f"Event {row.event_id} at position {row.position}"


def _gap(first: int, row: Row) -> str:
    missing = row.position - first
    places = f"Position {first} is" if missing == 1 else f"Positions {first} to {row.position - 1} are"
    events = "an event was" if missing == 1 else f"{missing} events were"
    return f"{places} missing: {events} removed before event {row.event_id}."
