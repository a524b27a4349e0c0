"""The newest lines that say something, sought backwards in ever longer windows, so that no search takes long.

What asks for fields alone needs none of this.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet

from machines.models import LogLine

Place = tuple[datetime, int]  # time and id of a line

LOOKED_THROUGH = 500  # of the newest lines, word by word: frequent words stand there, and need no index
WINDOWS = (50_000, 0)  # lines; 0: all
NAMED_MAX = 1_000  # lines that the index may name in a window

# Found first, sorted then: asked for both at once, the planner reads backwards whatever was printed, line by line.
_NEWEST = "WITH found AS MATERIALIZED ({lines}) SELECT at, id FROM found ORDER BY at DESC, id DESC LIMIT %s"


@dataclass(frozen=True)
class Wanted:
    """Lines for which `condition` holds. All of them hold one of `ways`, which the index tells without reading any.

    `exact`: so do no others. Without `ways` the index is of no help.
    """

    condition: Q
    ways: Sequence[Q]
    exact: bool


@dataclass(frozen=True)
class Found:
    """Ids of lines, newest first. `whole`: there are no others; `rest`: where older ones are still to be sought."""

    keys: list[int]
    whole: bool = False
    rest: Place | None = None


def newest(within: QuerySet[LogLine], wanted: Wanted, before: Place | None, enough: int) -> Found:
    """The newest of those lines before that place: more than `enough` of them, unless there are no more or `rest`."""
    lines = within.filter(earlier(before)).order_by()
    looked = list(lines.order_by("-at", "-id").values_list("at", "pk")[:LOOKED_THROUGH])
    keys = _checked(looked, wanted.condition)
    if len(keys) > enough or len(looked) < LOOKED_THROUGH:
        return Found(keys, whole=len(looked) < LOOKED_THROUGH)
    if not wanted.ways:
        return Found(keys, rest=looked[-1])
    return _in_windows(lines, wanted, before, enough)


def earlier(before: Place | None) -> Q:
    """Lines before that place."""
    if before is None:
        return Q()
    at, key = before
    return Q(at__lte=at) & (Q(at__lt=at) | Q(pk__lt=key))


def _in_windows(lines: QuerySet[LogLine], wanted: Wanted, before: Place | None, enough: int) -> Found:
    keys: list[int] = []
    for size in WINDOWS:
        since = _begin(before, size) if size else None
        named = _named(lines.filter(at__gte=since) if since else lines, wanted.ways)
        keys = [key for _, key in named] if wanted.exact else _checked(named, wanted.condition)
        cut = len(named) > NAMED_MAX
        if len(keys) > enough:
            return Found(keys, whole=not since and not cut)
        if cut:
            return Found(keys, rest=named[-1])
        if not since:
            break
    return Found(keys, whole=True)


def _checked(some: list[Place], condition: Q) -> list[int]:
    """Those of them for which it holds. It is reckoned, not filtered by: the planner would ask the index again."""
    keys = [key for _, key in some]
    reckoned = LogLine.objects.filter(pk__in=keys).annotate(
        holds=ExpressionWrapper(condition, output_field=BooleanField())
    )
    holding = dict(reckoned.order_by().values_list("pk", "holds"))
    return [key for key in keys if holding.get(key)]


def _begin(before: Place | None, size: int) -> datetime | None:
    """When the window of so many lines begins; None where there are fewer."""
    lines = LogLine.objects.filter(at__lte=before[0]) if before else LogLine.objects.all()
    return lines.order_by("-at", "-id").values_list("at", flat=True)[size : size + 1].first()


def _named(lines: QuerySet[LogLine], ways: Sequence[Q]) -> list[Place]:
    """The newest of them, and one more than are named."""
    first, *others = [lines.filter(way).values("at", "id") for way in ways]
    try:
        sql, params = (first.union(*others) if others else first).query.sql_with_params()
    except EmptyResultSet:  # what is asked for cannot be
        return []
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST.format(lines=sql), [*params, NAMED_MAX + 1])
        found: list[Place] = cursor.fetchall()
    return found
