"""Effects: what agents did that no checkpoint takes back, noted as the gateway sees it. Which that are: `reach`."""

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from checkpoints.models import Checkpoint, Effect

TOOL_USE_CHARACTERS_MAX, SUMMARY_CHARACTERS_MAX = 100, 300
LISTED_MAX = 200
# Every machine that was branched off, directly or not, at a checkpoint or after it.
_BRANCHES = """
WITH RECURSIVE below(id, origin) AS (
    SELECT id, origin FROM checkpoints_checkpoint WHERE id = %(id)s
    UNION
    SELECT c.id, c.origin FROM checkpoints_checkpoint c JOIN below b ON c.parent_id = b.id
)
SELECT DISTINCT origin FROM below WHERE origin <> %(origin)s
"""


class Seen(NamedTuple):
    """An effect of one tool call; `tool_use` is its id."""

    tool_use: str
    kind: Effect.Kind
    summary: str


def record(project_id: UUID, origin: str, call_number: int, seen: Iterable[Seen]) -> None:
    """Note effects that the results in a model call tell of. Those that are known already are left as they are."""
    effects = [
        Effect(
            project_id=project_id,
            origin=origin,
            tool_use=one.tool_use[:TOOL_USE_CHARACTERS_MAX],
            call_number=call_number,
            kind=one.kind,
            summary=one.summary[:SUMMARY_CHARACTERS_MAX].replace("\0", ""),
        )
        for one in seen
    ]
    Effect.objects.bulk_create(effects, ignore_conflicts=True)


def since(checkpoint: Checkpoint, until: Checkpoint | None = None) -> QuerySet[Effect]:
    """What is not undone by going back to a checkpoint: what its machine, and branches made from there on, did since.

    `until` leaves out what came after another checkpoint of the same machine, and the branches. Of a genesis, which
    everything comes after, nothing is told.
    """
    if checkpoint.kind == Checkpoint.Kind.GENESIS:
        return Effect.objects.none()
    own = Q(origin=checkpoint.origin) & _after(checkpoint)
    if until:
        return Effect.objects.filter(own).exclude(_after(until))
    return Effect.objects.filter(own | Q(origin__in=_branches(checkpoint))).order_by("at", "id")


def _after(checkpoint: Checkpoint) -> Q:
    """By call; of one that was taken for none, by the time, so that rather too much is told."""
    if checkpoint.call_number is not None:
        return Q(call_number__gt=checkpoint.call_number)
    return Q(at__gt=checkpoint.created_at)


def _branches(checkpoint: Checkpoint) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(_BRANCHES, {"id": checkpoint.pk, "origin": checkpoint.origin})
        return [origin for (origin,) in cursor.fetchall()]
