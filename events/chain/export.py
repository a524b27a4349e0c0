"""The chain as JSON lines, each with its digest and the one before it: checked offline, byte for byte."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from django.db import connection
from django.db.models import QuerySet

from events.chain.canonical import NOTHING, TEXT
from events.chain.heads import Unreadable
from events.chain.walk import Row
from events.models import Event, Link

LINKS_AT_ONCE = 2_000

_ROWS = f"""
SELECT l.position, coalesce(p.digest, '{NOTHING}'), l.digest, {TEXT}
FROM events_link l
JOIN events_event e ON e.id = l.event_id
LEFT JOIN events_link p ON p.position = l.position - 1
WHERE l.event_id = ANY(%s) ORDER BY l.position
"""
_FIRST = "SELECT min(l.position) FROM events_event e JOIN events_link l ON l.event_id = e.id WHERE e.at >= %s"
_EVENT = '"event": '


def chunks(wanted: QuerySet[Event], *, after: int = 0) -> Iterator[str]:
    """The wanted events behind that position, some lines at a time. Each line ends with a line feed."""
    last = Link.objects.values_list("position", flat=True).last() or 0
    while after < last:
        links = Link.objects.filter(position__gt=after, position__lte=last)[:LINKS_AT_ONCE]
        passed = list(links.values_list("position", "event_id"))
        if not passed:
            return
        after = passed[-1][0]
        ids = (
            wanted.filter(pk__in=[event_id for _, event_id in passed]).order_by().values_list("pk", flat=True)
        )
        if lines := "".join(_lines(list(ids))):
            yield lines


def position_before(since: datetime) -> int:
    """Behind which every event is that was recorded since then."""
    with connection.cursor() as cursor:
        cursor.execute(_FIRST, [since])
        first = cursor.fetchone()[0]
    return int(first) - 1 if first else Link.objects.count()


def rows(path: Path) -> Iterator[Row]:
    """The lines of an exported file. Raises `heads.Unreadable`."""
    try:
        with path.open() as lines:
            for number, line in enumerate(lines, start=1):
                yield _read(line.rstrip("\n"), f"{path}, line {number}")
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}.") from None


def _lines(ids: list[int]) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, [ids])
        for position, previous, digest, text in cursor.fetchall():
            # The text goes in as it is: its digest is of these bytes.
            head = json.dumps({"position": position, "previous": previous, "digest": digest})
            yield f"{head[:-1]}, {_EVENT}{text}}}\n"


def _read(line: str, where: str) -> Row:
    text = line.partition(_EVENT)[2][:-1]
    try:
        said, event = json.loads(line), json.loads(text)
        return Row(int(said["position"]), int(event["id"]), str(said["digest"]), text, str(said["previous"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise Unreadable(f"{where} is no exported event.") from None
