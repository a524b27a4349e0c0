"""How long each verb usually takes: the median of its last runs that went well, whosever they were."""

from collections.abc import Iterable

from django.core.cache import caches
from django.db import connection

RUNS = 50
ENOUGH = 5  # runs; of fewer nobody can say what is usual
KEPT_SECONDS = 60

_MEDIANS = """
    SELECT last.verb, percentile_cont(0.5) WITHIN GROUP (ORDER BY last.seconds)
    FROM unnest(%s::text[]) AS asked (verb), LATERAL (
        SELECT verb, extract(epoch FROM finished_at - started_at)::float AS seconds
        FROM operations_operation
        WHERE verb = asked.verb AND status = 'succeeded' AND started_at IS NOT NULL
        ORDER BY finished_at DESC LIMIT %s
    ) AS last
    GROUP BY last.verb HAVING count(*) >= %s
"""


def seconds(verbs: Iterable[str]) -> dict[str, float]:
    """The medians of those verbs, in seconds from a worker's first step to the end, where there are enough runs."""
    wanted = sorted(set(verbs))
    key = f"operations.usual:{','.join(wanted)}"
    found: dict[str, float] | None = caches["process"].get(key)
    if found is None:
        found = _reckon(wanted)
        caches["process"].set(key, found, KEPT_SECONDS)
    return found


def _reckon(verbs: list[str]) -> dict[str, float]:
    with connection.cursor() as cursor:
        cursor.execute(_MEDIANS, [verbs, RUNS, ENOUGH])
        return dict(cursor.fetchall())
