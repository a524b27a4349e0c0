"""End a hold: charge what was used, give the rest back; and check that the sums are right.

Locks are always taken in the order reservation, then budgets by id.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone

from budgets.models import LedgerEntry, Reservation
from budgets.prices import Price, Usage
from events import actions as events

_FIGURES = ("micros", "calls", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens")

# `spent` is what fits beside the holds; the rest of what was consumed is overrun. As in `reserve`, every column
# that a constraint names is written from the locked reading.
_CHARGE = """
WITH line AS (
    SELECT budget.id, "limit", spent + overrun AS consumed, overrun,
           reserved - line.amount * %(held)s AS reserved,
           CASE resource WHEN 'money' THEN %(micros)s WHEN 'tokens' THEN %(tokens)s ELSE %(calls)s END AS used
    FROM budgets_reservationline AS line JOIN budgets_budget AS budget ON budget.id = line.budget_id
    WHERE line.reservation_id = %(reservation)s
    ORDER BY budget.id FOR UPDATE OF budget
)
UPDATE budgets_budget SET
    "limit" = line."limit",
    reserved = line.reserved,
    spent = LEAST(consumed + used, line."limit" - line.reserved),
    overrun = GREATEST(consumed + used - (line."limit" - line.reserved), 0)
FROM line WHERE budgets_budget.id = line.id
RETURNING budgets_budget.id, budgets_budget.overrun - line.overrun
"""

_DIFFERENCES = """
SELECT budget.id, reserved, coalesce(held, 0), spent + overrun, coalesce(used, 0)
FROM budgets_budget AS budget
LEFT JOIN (
    SELECT budget_id, sum(amount) AS held
    FROM budgets_reservationline AS line JOIN budgets_reservation AS r ON r.id = line.reservation_id
    WHERE r.state = 'held' GROUP BY budget_id
) AS hold ON hold.budget_id = budget.id
LEFT JOIN (
    SELECT budget_id, sum(CASE b.resource
        WHEN 'money' THEN micros
        WHEN 'tokens' THEN input_tokens + cached_tokens + cache_write_tokens + output_tokens
        ELSE calls END) AS used
    FROM budgets_reservationline AS line
    JOIN budgets_ledgerentry AS entry ON entry.reservation_id = line.reservation_id
    JOIN budgets_budget AS b ON b.id = line.budget_id
    GROUP BY budget_id
) AS entries ON entries.budget_id = budget.id
WHERE reserved <> coalesce(held, 0) OR spent + overrun <> coalesce(used, 0)
ORDER BY budget.id
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """A budget whose kept balance is not what its holds and entries add up to."""

    budget_id: int
    reserved: int
    reserved_by_holds: int
    consumed: int
    consumed_by_entries: int


@transaction.atomic(savepoint=False)
def settle(reservation_id: UUID, usage: Usage, price: Price, *, assumed: bool = False) -> int:
    """Charge what was used and free the rest of the hold, once, however often it is asked.

    Returns what the call cost in all, in micros. `assumed` marks figures that are a bound only.
    Where the hold had expired and was charged in full, the difference is entered.
    """
    reservation = Reservation.objects.select_for_update().get(pk=reservation_id)
    if reservation.state == Reservation.State.SETTLED:
        return _cost_micros(reservation)
    entry = _used(usage, price)
    entry.kind = LedgerEntry.Kind.ASSUMED if assumed else LedgerEntry.Kind.USAGE
    cost = entry.micros
    if reservation.state == Reservation.State.EXPIRED:
        _subtract(entry, reservation.entries.get())
    _conclude(reservation, Reservation.State.SETTLED, entry)
    return cost


@transaction.atomic(savepoint=False)
def settle_in_full(reservation_id: UUID, *, to: Reservation.State = Reservation.State.SETTLED) -> int:
    """Charge the whole hold: the call was sent, and nobody will say what it used. Returns the cost in micros.

    The provider bills what it generated, not what arrived here, so only the bound is certain.
    """
    reservation = Reservation.objects.select_for_update().get(pk=reservation_id)
    if reservation.state == Reservation.State.HELD:
        _conclude(reservation, to, _bound(reservation))
    return _cost_micros(reservation)


@transaction.atomic(savepoint=False)
def release(reservation_id: UUID) -> bool:
    """Free the whole hold: the call was never made, or is not billed. False when it had ended already."""
    reservation = Reservation.objects.select_for_update().get(pk=reservation_id)
    if reservation.state != Reservation.State.HELD:
        return False
    _conclude(reservation, Reservation.State.RELEASED, None)
    return True


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


def verify() -> list[Difference]:
    """Recompute every balance from the open holds and the ledger; what differs is returned."""
    with connection.cursor() as cursor:
        cursor.execute(_DIFFERENCES)
        return [Difference(*map(int, row)) for row in cursor.fetchall()]


def _used(usage: Usage, price: Price) -> LedgerEntry:
    return LedgerEntry(
        micros=price.cost_micros(usage),
        calls=1,
        input_tokens=usage.input_tokens,
        cached_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens + usage.cache_write_1h_tokens,
        output_tokens=usage.output_tokens,
        price_version=price.version,
    )


def _bound(reservation: Reservation) -> LedgerEntry:
    return LedgerEntry(
        kind=LedgerEntry.Kind.ASSUMED,
        micros=reservation.micros,
        calls=1,
        input_tokens=reservation.input_tokens,
        cached_tokens=0,
        cache_write_tokens=0,
        output_tokens=reservation.output_tokens,
        price_version=reservation.price_version,
    )


def _subtract(entry: LedgerEntry, assumed: LedgerEntry) -> None:
    entry.kind = LedgerEntry.Kind.CORRECTION
    for name in _FIGURES:
        setattr(entry, name, getattr(entry, name) - getattr(assumed, name))


def _conclude(reservation: Reservation, to: Reservation.State, entry: LedgerEntry | None) -> None:
    """End the hold and charge the entry to each budget that carried it."""
    charge: dict[str, Any] = {
        "reservation": reservation.pk,
        "held": int(reservation.state == Reservation.State.HELD),
        "micros": entry.micros if entry else 0,
        "tokens": entry.tokens if entry else 0,
        "calls": entry.calls if entry else 0,
    }
    if entry:
        _append(entry, reservation)
    with connection.cursor() as cursor:
        cursor.execute(_CHARGE, charge)
        overruns = [(budget_id, by) for budget_id, by in cursor.fetchall() if by > 0]
    Reservation.objects.filter(pk=reservation.pk).update(state=to)
    for budget_id, by in overruns:
        events.record(
            "budget.overrun",
            subject=f"budget:{budget_id}",
            project_id=reservation.project_id,
            by_amount=by,
            reservation=reservation.key,
            model=reservation.model,
        )


def _append(entry: LedgerEntry, reservation: Reservation) -> None:
    entry.key = f"{reservation.key}/{entry.kind}"
    entry.reservation = reservation
    entry.project_id = reservation.project_id
    entry.machine_id = reservation.machine_id
    entry.model = reservation.model
    entry.save(force_insert=True)


def _cost_micros(reservation: Reservation) -> int:
    return int(reservation.entries.aggregate(total=Sum("micros", default=0))["total"])
