"""How long each verb and its steps usually take: the medians of its last runs that went well, whosever they were."""

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

# A step ends where the next begins; one that was entered twice counts twice.
_STEPS = """
    SELECT step, percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds)
    FROM (
        SELECT entry ->> 'step' AS step, extract(epoch FROM coalesce(
            lead((entry ->> 'at')::timestamptz) OVER (PARTITION BY last.id ORDER BY place), last.finished_at
        ) - (entry ->> 'at')::timestamptz)::float AS seconds
        FROM (
            SELECT id, trail, finished_at FROM operations_operation
            WHERE verb = %s AND status = 'succeeded' AND started_at IS NOT NULL
            ORDER BY finished_at DESC LIMIT %s
        ) AS last, jsonb_array_elements(last.trail) WITH ORDINALITY AS passed (entry, place)
    ) AS passages
    GROUP BY step HAVING count(*) >= %s
"""


def seconds(verbs: Iterable[str]) -> dict[str, float]:
    """The medians of those verbs, in seconds from a worker's first step to the end, where there are enough runs."""
    wanted = sorted(set(verbs))
    return _known(",".join(wanted), _MEDIANS, wanted)


def steps(verb: str) -> dict[str, float]:
    """The medians of its steps by their names, in seconds, where enough runs went through them."""
    return _known(f"steps:{verb}", _STEPS, verb)


def _known(name: str, query: str, asked: str | list[str]) -> dict[str, float]:
    key = f"operations.usual:{name}"
    found: dict[str, float] | None = caches["process"].get(key)
    if found is None:
        with connection.cursor() as cursor:
            cursor.execute(query, [asked, RUNS, ENOUGH])
            found = dict(cursor.fetchall())
        caches["process"].set(key, found, KEPT_SECONDS)
    return found
