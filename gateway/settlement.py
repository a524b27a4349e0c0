"""What became of a call: its hold is settled, and how it went is written down, both at once."""

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from budgets import actions as budgets
from budgets.prices import Usage
from events import actions as events
from gateway import database, sessions, waiting
from gateway.admitted import Admission
from gateway.models import Call
from gateway.teller import teller

logger = logging.getLogger(__name__)

TELL_EVERY_SECONDS = 0.25
_ANSWERING = """
UPDATE gateway_call AS g SET state = 'streaming', first_byte_ms = a.first_byte_ms
FROM unnest(%s::uuid[], %s::int[]) AS a(id, first_byte_ms) WHERE g.id = a.id AND g.state = 'admitted'
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call. Without `usage` it cost nothing; `assumed` figures are a bound."""

    state: Call.State
    usage: Usage | None = None
    assumed: bool = False
    in_full: bool = False  # nothing is known: the whole hold is spent
    free: bool = False  # whoever answered takes no money
    upstream: str = ""
    attempts: int = 0
    status: int | None = None
    request_id: str = ""
    error: str = ""
    first_byte_ms: int | None = None
    stall_ms: int = 0


async def conclude(admission: Admission, outcome: Outcome) -> None:
    """Settle the hold, and write down how the call went; what `calls.reap` had to assume is put right.

    Raises psycopg's errors when the database cannot be reached: then the hold expires, and is charged in full.
    """
    await teller().concluding.ask(_hold(admission, outcome) | {"call": _call(admission, outcome)})
    if outcome.usage and not outcome.assumed and _counts_alike(admission, outcome):
        request = admission.request
        await database.run_if_long(request.raw, sessions.learn, admission.session, request, outcome.usage)
    waiting.one_has_ended()
    _ringer().ended(admission)


def answering(admission: Admission, first_byte_ms: int) -> None:
    """The provider has begun to answer: for the pages, which hear of it in a moment, unless it has ended by then."""
    _ringer().answering(admission, first_byte_ms)


def _counts_alike(admission: Admission, outcome: Outcome) -> bool:
    """Whether the agent's next call is counted as this one was: not by servers of unknown habits, nor by recordings.

    With the word to wrap up, which the agent's next does not repeat, it was counted a little higher: still a bound.
    """
    return not (outcome.free or admission.offers.offline or admission.machine.replays_id)


def _hold(admission: Admission, outcome: Outcome) -> dict[str, Any]:
    """As `budgets_settle` takes it."""
    if admission.machine.replays_id and (outcome.usage or outcome.in_full):
        outcome = replace(outcome, usage=Usage(), in_full=False, assumed=False)  # a call, and nothing else
    price = admission.price.free if outcome.free else admission.price
    figures = budgets.figures_of(outcome.usage, price) if outcome.usage else {}
    if outcome.in_full and price is not admission.price:
        figures = {"money": 0}
    return {
        "id": admission.reservation_id,
        "to": "settled" if figures or outcome.in_full else "released",
        "kind": "assumed" if outcome.assumed or outcome.in_full else "usage",
        "in_full": outcome.in_full,
        "figures": figures,
    }


def _call(admission: Admission, outcome: Outcome) -> dict[str, Any]:
    usage = outcome.usage or Usage()
    return {
        "id": admission.call_id,
        "state": outcome.state,
        "status": outcome.status,
        "request_id": outcome.request_id[:100],
        "error": outcome.error[:2000].replace("\0", ""),
        "upstream": outcome.upstream,
        "attempts": outcome.attempts,
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        "output_tokens": usage.output_tokens,
        "first_byte_ms": outcome.first_byte_ms,
        "stall_ms": outcome.stall_ms,
        "duration_ms": (datetime.now(UTC) - admission.started_at) // timedelta(milliseconds=1),
    }


class Ringer:
    """Tells the pages, for many calls at once and not at the agents' expense; what gets lost, the next call brings."""

    def __init__(self) -> None:
        self._machines: dict[UUID, UUID] = {}
        self._answering: dict[UUID, tuple[UUID, UUID, int]] = {}
        self._work: asyncio.Task[None] | None = None

    def ended(self, admission: Admission) -> None:
        self._answering.pop(admission.call_id, None)  # it is written down already
        self._machines[admission.machine.id] = admission.machine.project_id
        self._begin()

    def answering(self, admission: Admission, first_byte_ms: int) -> None:
        machine = admission.machine
        self._answering[admission.call_id] = (machine.id, machine.project_id, first_byte_ms)
        self._begin()

    def _begin(self) -> None:
        if self._work is None:
            self._work = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        await asyncio.sleep(TELL_EVERY_SECONDS)
        answering, self._answering = self._answering, {}
        machines, self._machines = self._machines, {}
        self._work = None
        try:
            await database.run(_tell, answering, machines)
        except Exception:
            logger.exception("The pages could not be told of %s machines.", len(machines))


def _tell(answering: dict[UUID, tuple[UUID, UUID, int]], machines: dict[UUID, UUID]) -> None:
    if answering:
        first = {call_id: milliseconds for call_id, (_, _, milliseconds) in answering.items()}
        with connection.cursor() as cursor:
            cursor.execute(_ANSWERING, [list(first), list(first.values())])
        machines |= {machine: project for machine, project, _ in answering.values()}
    for machine, project in machines.items():
        events.ring("call", subject=f"machine:{machine}", project_id=project)


_ringers: dict[asyncio.AbstractEventLoop, Ringer] = {}


def _ringer() -> Ringer:
    loop = asyncio.get_running_loop()
    if loop not in _ringers:
        _ringers[loop] = Ringer()
    return _ringers[loop]
