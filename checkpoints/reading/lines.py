"""Lines of descent: from a checkpoint up to where everything began, and what a stretch of one cost. Queries only."""

from collections.abc import Iterator
from datetime import timedelta
from functools import reduce
from itertools import groupby
from operator import or_
from typing import NamedTuple

from django.db.models import F, Q, Sum

from budgets.models import LedgerEntry
from budgets.models.ledger import months_of
from checkpoints.models import Checkpoint

_LINE = """
WITH RECURSIVE line(id, parent_id, depth) AS (
    SELECT id, parent_id, 0 FROM checkpoints_checkpoint WHERE id = %s
    UNION ALL
    SELECT above.id, above.parent_id, line.depth + 1
    FROM line JOIN checkpoints_checkpoint above ON above.id = line.parent_id
)
SELECT id, handle, project_id, guest_id, kind, state, error, origin, number, checkpoint.parent_id, shares_id, snapshot,
    backup, manifest_id, ledger_entry, spent_micros, created_at, proven_depth
FROM line JOIN checkpoints_checkpoint checkpoint USING (id) ORDER BY line.depth
"""

_BELOW = """
WITH RECURSIVE below(id) AS (
    SELECT id FROM checkpoints_checkpoint WHERE id = %s
    UNION ALL
    SELECT child.id FROM below JOIN checkpoints_checkpoint child ON child.parent_id = below.id
)
SELECT id FROM below
"""


class Cost(NamedTuple):
    """What machines used between two checkpoints of a line: model calls, micro-units of money, tokens, and time."""

    turns: int
    micros: int
    tokens: int
    seconds: int


class _Stretch(NamedTuple):
    """Checkpoints of one machine that follow each other; `before` is the machine's checkpoint ahead of the first."""

    first: Checkpoint
    last: Checkpoint
    before: Checkpoint | None


def line(checkpoint: Checkpoint) -> list[Checkpoint]:
    """The checkpoint, its parent, and so on to the genesis; of each, what the tree and the books are about."""
    return list(Checkpoint.objects.raw(_LINE, [checkpoint.pk]))


class Neighbours(NamedTuple):
    """The handles of the machine's checkpoints before and after one, as they were taken."""

    previous: str | None
    next: str | None


def neighbours(checkpoint: Checkpoint) -> Neighbours:
    own = Checkpoint.objects.filter(
        origin=checkpoint.origin, number__in=(checkpoint.number - 1, checkpoint.number + 1)
    )
    handles = dict(own.values_list("number", "handle"))
    return Neighbours(handles.get(checkpoint.number - 1), handles.get(checkpoint.number + 1))


def below(checkpoint: Checkpoint) -> tuple[str, list[object]]:
    """A query for the ids of the checkpoint and all that descend from it, and its parameters."""
    return _BELOW, [checkpoint.pk]


def cost(line: list[Checkpoint], steps: int) -> Cost:
    """What was used on the way through the first `steps` checkpoints of a line, newest first.

    A machine that went back goes on at a new line: what it spent on the one that it left is not counted.
    """
    stretches = list(_stretches(line, steps))
    micros = sum(one.last.spent_micros - (one.before.spent_micros if one.before else 0) for one in stretches)
    seconds = sum(_lasted(one).total_seconds() for one in stretches)
    calls, tokens = _used(stretches)
    return Cost(calls, micros, tokens, round(seconds))


def _stretches(line: list[Checkpoint], steps: int) -> Iterator[_Stretch]:
    own = [one for one in reversed(line[:steps]) if one.kind != Checkpoint.Kind.GENESIS]
    # Where numbers follow each other, the number less the place is the same.
    runs = groupby(enumerate(own), key=lambda item: (item[1].origin, item[1].number - item[0]))
    ends = [(run[0], run[-1]) for run in ([one for _, one in members] for _, members in runs)]
    before = _ahead([first for first, _ in ends], line)
    for first, last in ends:
        yield _Stretch(first, last, before.get((first.origin, first.number - 1)))


def _ahead(firsts: list[Checkpoint], line: list[Checkpoint]) -> dict[tuple[str, int], Checkpoint]:
    """Mostly they are in the line itself; not where a machine went back."""
    known = {(one.origin, one.number): one for one in line}
    places = {(one.origin, one.number - 1) for one in firsts if one.number > 1} - known.keys()
    wanted = [Q(origin=origin, number=number) for origin, number in places]
    found = Checkpoint.objects.filter(reduce(or_, wanted)) if wanted else ()
    return known | {(one.origin, one.number): one for one in found}


def _lasted(one: _Stretch) -> timedelta:
    return one.last.created_at - (one.before or one.first).created_at


def _used(stretches: list[_Stretch]) -> tuple[int, int]:
    """Model calls and their tokens that the ledger has between the positions that the checkpoints noted."""
    spans = [_span(one) for one in stretches if one.last.ledger_entry]
    if not spans:
        return 0, 0
    months = months_of(min(one.first.created_at for one in stretches), stretches[-1].last.created_at)
    found = LedgerEntry.objects.filter(reduce(or_, spans), month__range=months)
    sums = found.aggregate(
        calls=Sum("calls", default=0),
        tokens=Sum(
            F("input_tokens") + F("cached_tokens") + F("cache_write_tokens") + F("output_tokens"), default=0
        ),
    )
    return int(sums["calls"]), int(sums["tokens"])


def _span(one: _Stretch) -> Q:
    begins = one.before.ledger_entry if one.before else None
    machine = one.last.origin.partition(":")[2]
    return Q(machine_id=machine, id__gt=begins or 0, id__lte=one.last.ledger_entry)
