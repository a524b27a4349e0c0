"""Verify the whole chain: every event against its digest, and the chain against every signed head.

Nothing that the database could have been told to say is believed: the texts are made by the expression that is sent
along (`canonical.TEXT`), with PostgreSQL's own functions.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from django.db import connection

from events.chain.canonical import TEXT
from events.chain.heads import Signed
from events.chain.walk import Finding, Row, Walk

ROWS_AT_ONCE = 5_000
PROGRESS_ROWS = 20_000
_DJANGO_ONLY = {"cursor_factory", "context", "prepare_threshold"}

_LINKS = f"""
SELECT l.position, l.event_id, l.digest, CASE WHEN e.id IS NOT NULL THEN {TEXT} END
FROM events_link l LEFT JOIN events_event e ON e.id = l.event_id ORDER BY l.position
"""
_UNLINKED = """
SELECT e.id, e.kind, e.at FROM events_event e
WHERE NOT EXISTS (SELECT FROM events_link l WHERE l.event_id = e.id) ORDER BY e.id
"""

Told = Callable[[int], None]


@dataclass
class Heads:
    """Signed heads of one place, looked at while the chain passes by."""

    place: str
    heads: Iterable[Signed]
    keys: list[str]  # what they may be signed with
    findings: list[Finding] = field(default_factory=list)
    _at: defaultdict[int, list[Signed]] = field(default_factory=lambda: defaultdict(list))
    _agreed: Signed | None = None

    def __post_init__(self) -> None:
        for head in self.heads:
            if head.key not in self.keys or not head.is_authentic:
                whose = "by a key that is not ours" if head.key not in self.keys else "wrongly"
                self._find("forged", head, f"{self._named(head)} is signed {whose}.")
            else:
                self._at[head.position].append(head)

    @property
    def positions(self) -> frozenset[tuple[int, str]]:
        """What they say, as far as the signatures hold."""
        return frozenset((head.position, head.digest) for there in self._at.values() for head in there)

    def compare(self, row: Row) -> None:
        """With what they say about the row's place in the chain."""
        for head in self._at.get(row.position, ()):
            if head.digest == row.digest:
                self._agreed = head
            else:
                since = f"position {self._agreed.position}" if self._agreed else "the beginning"
                sentence = (
                    f"{self._named(head)} says {head.digest}, the chain {row.digest}: "
                    f"events after {since} were replaced together with their links."
                )
                self._find("rewritten", head, sentence)

    def end(self, length: int) -> None:
        """The chain ends at `length`; whatever they know beyond is gone."""
        beyond = [there[0] for position, there in self._at.items() if position > length]
        if beyond:
            head = max(beyond, key=lambda one: one.position)
            sentence = (
                f"Events after position {length} were truncated: {self._named(head)}, signed at {head.signed_at}, "
                f"says that there were {head.position}, up to {head.digest}."
            )
            self._find("truncated", head, sentence)

    def _find(self, kind: str, head: Signed, sentence: str) -> None:
        self.findings.append(Finding(kind, head.position, sentence))

    def _named(self, head: Signed) -> str:
        return f"The head of position {head.position} in {self.place}"


@dataclass(frozen=True)
class Report:
    """What was found, and the end of the chain that was walked."""

    links: int
    position: int
    digest: str
    heads: int
    findings: list[Finding]


def verify(
    rows: Iterable[Row], heads: list[Heads], walk: Walk | None = None, told: Told | None = None
) -> Report:
    """Walk over the rows, and hold the heads against them. `told` hears of the progress now and then."""
    walk = walk or Walk()
    for row in walk.over(rows):
        for each in heads:
            each.compare(row)
        if told and walk.links % PROGRESS_ROWS == 0:
            told(walk.links)
    for each in heads:
        each.end(walk.position)
    findings = [*walk.findings, *(found for each in heads for found in each.findings)]
    known = len(frozenset().union(*(each.positions for each in heads)))
    return Report(walk.links, walk.position, walk.digest, known, findings)


def database(
    heads: Iterable[Signed], files: list[Heads], keys: list[str], told: Told | None = None
) -> Report:
    """Verify what is in the database, as of one moment."""
    own = Heads("the database", heads, keys)
    with _snapshot() as reading:
        report = verify(_links(reading), [own, *files], told=told)
        report.findings.extend(_unlinked(reading))
    report.findings.extend(found for file in files for found in _missing(own, file))
    return report


@contextmanager
def _snapshot() -> Iterator[psycopg.Connection[Any]]:
    """A connection of its own, reading one state of the database; its names mean what PostgreSQL means by them."""
    given = connection.get_connection_params()
    wanted = {name: value for name, value in given.items() if name not in _DJANGO_ONLY}
    with psycopg.connect(**wanted) as reading:
        reading.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reading.read_only = True
        reading.execute("SET LOCAL search_path = pg_catalog, public")
        yield reading


def _links(reading: psycopg.Connection[Any]) -> Iterator[Row]:
    with reading.cursor(name="links") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(_LINKS)
        for values in cursor:
            yield Row(*values)


def _unlinked(reading: psycopg.Connection[Any]) -> Iterator[Finding]:
    for event_id, kind, at in reading.execute(_UNLINKED):
        sentence = f"Event {event_id} ({kind}, {at.isoformat()}) was inserted: it is not in the chain."
        yield Finding("inserted", 0, sentence)


def _missing(own: Heads, file: Heads) -> Iterator[Finding]:
    """Heads that were signed, and are in the database no more."""
    for position, digest in sorted(file.positions - own.positions):
        sentence = (
            f"The head of position {position} ({digest}) is in {file.place}, but gone from the database."
        )
        yield Finding("head removed", position, sentence)
