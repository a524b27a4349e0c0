"""End a hold: charge what was used, give the rest back; and check that the sums are right.

The work is done by `budgets_settle` in sql/ledger.sql; the gateway calls that for many at once.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from budgets.models import Reservation
from budgets.prices import Price, Usage

# Ended holds are of use until the last retry of their settlement; entries are kept for good.
KEPT = timedelta(days=35)
PRUNED_AT_ONCE = 5_000

_DIFFERENCES = """
WITH line AS (
    SELECT u.window_id, e.kind, u.amount
    FROM budgets_ledgerentry e, unnest(e.windows, e.amounts) AS u(window_id, amount)
), entered AS (
    SELECT window_id, coalesce(sum(amount) FILTER (WHERE kind IN ('limit', 'transfer')), 0) AS granted,
           coalesce(sum(amount) FILTER (WHERE kind NOT IN ('limit', 'transfer')), 0) AS used
    FROM line GROUP BY window_id
), held AS (
    SELECT u.window_id, sum(u.amount) AS amount
    FROM budgets_reservation r, unnest(r.windows, r.amounts) AS u(window_id, amount)
    WHERE r.state = 'held' GROUP BY u.window_id
)
SELECT w.id, w.budget_id, w."limit", coalesce(entered.granted, 0), w.reserved, coalesce(held.amount, 0),
       w.spent + w.overrun, coalesce(entered.used, 0)
FROM budgets_window w LEFT JOIN entered ON entered.window_id = w.id LEFT JOIN held ON held.window_id = w.id
WHERE w."limit" <> coalesce(entered.granted, 0) OR w.reserved <> coalesce(held.amount, 0)
   OR w.spent + w.overrun <> coalesce(entered.used, 0)
ORDER BY w.id
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """A window whose kept balance is not what its holds and entries add up to."""

    window_id: int
    budget_id: int
    limit: int
    limit_by_entries: int
    reserved: int
    reserved_by_holds: int
    consumed: int
    consumed_by_entries: int


def settle(reservation_id: UUID, usage: Usage, price: Price, *, assumed: bool = False) -> int:
    """Charge what was used and free the rest of the hold, once, however often it is asked.

    Returns what the call cost in all, in micros. `assumed` marks figures that are a bound only.
    Where the hold had expired and was charged in full, the difference is entered.
    """
    return settle_figures(reservation_id, figures_of(usage, price), assumed=assumed)


def settle_figures(reservation_id: UUID, figures: dict[str, int], *, assumed: bool = False) -> int:
    """`settle`, with what was used by resource; what is not named was not used."""
    kind = "assumed" if assumed else "usage"
    return _settle(reservation_id, to="settled", kind=kind, figures=figures)[0]


def settle_in_full(reservation_id: UUID, *, to: Reservation.State = Reservation.State.SETTLED) -> int:
    """Charge the whole hold: the call was sent, and nobody will say what it used. Returns the cost in micros.

    The provider bills what it generated, not what arrived here, so only the bound is certain.
    """
    return _settle(reservation_id, to=to, kind="assumed", in_full=True)[0]


def release(reservation_id: UUID) -> bool:
    """Free the whole hold: the call was never made, or is not billed. False when it had ended already."""
    return _settle(reservation_id, to="released", kind="usage")[1]


def assume(reservation_id: UUID, figures: dict[str, int]) -> None:
    """End a hold by a bound for the time being, and free the rest of it. `settle_figures` puts it right later."""
    _settle(reservation_id, to=Reservation.State.EXPIRED, kind="assumed", figures=figures)


def cancel(reservation_id: UUID) -> None:
    """Nothing was used, even if the hold has expired meanwhile."""
    if not release(reservation_id):
        settle_figures(reservation_id, {})


def reap_expired(now: datetime | None = None) -> int:
    """Charge in full the holds whose owner never came back; returns how many.

    The provider may have billed them, and money that may be gone must not be promised again. A late `settle`
    puts it right.
    """
    due = Reservation.objects.filter(state=Reservation.State.HELD, expires_at__lte=now or timezone.now())
    reservations = list(due.values_list("pk", flat=True))
    for reservation_id in reservations:
        settle_in_full(reservation_id, to=Reservation.State.EXPIRED)
    return len(reservations)


def prune() -> int:
    """Forget holds that ended long ago, so many at a time; what they used is in the ledger. Returns how many."""
    old = Reservation.objects.filter(created_at__lt=timezone.now() - KEPT).exclude(
        state=Reservation.State.HELD
    )
    batch = list(old.values_list("pk", flat=True)[:PRUNED_AT_ONCE])
    return Reservation.objects.filter(pk__in=batch).delete()[0] if batch else 0


def verify() -> list[Difference]:
    """Recompute every balance from the open holds and the ledger; what differs is returned."""
    with connection.cursor() as cursor:
        cursor.execute(_DIFFERENCES)
        return [Difference(*map(int, row)) for row in cursor.fetchall()]


def make_partitions(months_ahead: int = 3) -> None:
    """See that the ledger has partitions from last month on; safe to repeat."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT budgets_partitions((now() - interval '1 month')::date, %s)", [months_ahead + 1]
        )


def figures_of(usage: Usage, price: Price) -> dict[str, int]:
    """A model call's consumption by resource, as `budgets_settle` takes it."""
    writes = usage.cache_write_tokens + usage.cache_write_1h_tokens
    return {
        "money": price.cost_micros(usage),
        "calls": 1,
        "tokens": usage.prompt_tokens + usage.output_tokens,
        "input_tokens": usage.input_tokens + writes,
        "cached_tokens": usage.cache_read_tokens,
        "cache_write_tokens": writes,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "output_tokens": usage.output_tokens,
    }


def _settle(reservation_id: UUID, *, to: str, kind: str, **how: Any) -> tuple[int, bool]:
    asked = {"id": str(reservation_id), "to": to, "kind": kind, "in_full": False, **how}
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM budgets_settle(%s::jsonb, %s)", [json.dumps([asked]), timezone.now()])
        cost, changed = cursor.fetchone()
    return int(cost), bool(changed)
