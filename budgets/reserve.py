"""Place a hold: every budget that applies is locked, looked at and written in one SQL statement."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from budgets import sentences
from budgets.models import Budget, Reservation, Resource
from budgets.prices import Price
from events import actions as events
from projects.models import Project


@dataclass(frozen=True, slots=True)
class Grant:
    """A hold was placed: the call may write up to `output_tokens`."""

    reservation_id: UUID
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Shortage:
    """No hold was placed. `passing`: there would be enough if calls under way turned out to cost nothing."""

    sentence: str
    passing: bool


# Rows are locked first, in the same order by everybody, and after the wait PostgreSQL reads them again: `budget`
# is what is really there. The update does not: it tries on the row as it was before the wait, and its constraints
# with it. So it writes every column that a constraint names from the locked reading, changed or not.
# Numeric, because the products pass bigint.
_RESERVE = """
WITH asked AS (
    SELECT %(input)s::numeric AS input, %(input_price)s::numeric AS input_price,
           %(wanted)s::numeric AS wanted, %(output_price)s::numeric AS output_price
), budget AS (
    SELECT id, resource, "limit", reserved, spent, overrun,
           ("limit" - reserved - spent - overrun)::numeric AS unspoken
    FROM budgets_budget
    WHERE project_id = %(project)s AND (machine_id IS NULL OR machine_id = %(machine)s)
    ORDER BY id FOR UPDATE
), room AS (
    SELECT id, CASE
        WHEN resource = 'calls' THEN CASE WHEN unspoken >= 1 THEN wanted ELSE -1 END
        WHEN resource = 'tokens' THEN unspoken - input
        WHEN unspoken * 1000000 < input * input_price THEN -1
        WHEN output_price = 0 THEN wanted
        ELSE div(unspoken * 1000000 - input * input_price, output_price)
    END AS output_tokens
    FROM budget, asked
), granted AS (
    SELECT LEAST(min(output_tokens), %(wanted)s) AS output_tokens
    FROM room JOIN budget USING (id)
    HAVING min(output_tokens) >= %(minimum)s AND bool_or(resource = 'money')
), hold AS (
    SELECT input, output_tokens,
           ceil((input * input_price + output_tokens * output_price) / 1000000) AS micros
    FROM granted, asked
), line AS (
    SELECT budget.*, CASE resource
        WHEN 'calls' THEN 1
        WHEN 'tokens' THEN input + output_tokens
        ELSE micros
    END AS amount
    FROM budget, hold
), held AS (
    UPDATE budgets_budget SET reserved = line.reserved + line.amount,
        "limit" = line."limit", spent = line.spent, overrun = line.overrun
    FROM line WHERE budgets_budget.id = line.id
), reservation AS (
    INSERT INTO budgets_reservation (id, key, project_id, machine_id, state, model, price_version,
                                     micros, input_tokens, output_tokens, created_at, expires_at)
    SELECT %(id)s, %(key)s, %(project)s, %(machine)s, 'held', %(model)s, %(price_version)s,
           micros, input, output_tokens, %(now)s, %(expires)s
    FROM hold
), lines AS (
    INSERT INTO budgets_reservationline (reservation_id, budget_id, amount)
    SELECT %(id)s, id, amount FROM line
)
SELECT room.id, room.output_tokens < %(minimum)s, hold.output_tokens
FROM room LEFT JOIN hold ON true
ORDER BY room.output_tokens
"""


def reserve(
    key: str,
    *,
    project: Project,
    machine_id: UUID | None,
    price: Price,
    input_tokens: int,
    output_tokens: int,
    minimum_output_tokens: int = 1,
    seconds: float,
) -> Grant | Shortage:
    """Hold the most that a call can cost on every budget that applies to it; or on none, and say why.

    `input_tokens` is an upper bound. `output_tokens` is what the caller wants; it is cut to what is left, but
    not below `minimum_output_tokens`. The same `key` again returns the first grant. A project without a
    budget for money has nothing to spend. The hold expires after `seconds`.
    """
    now = timezone.now()
    reservation_id = uuid4()
    asked: dict[str, Any] = {
        "id": reservation_id,
        "key": key,
        "project": project.pk,
        "machine": machine_id,
        "model": price.model,
        "price_version": price.version,
        "input": input_tokens,
        "input_price": price.input_ceiling,
        "wanted": output_tokens,
        "minimum": minimum_output_tokens,
        "output_price": price.output_ceiling,
        "now": now,
        "expires": now + timedelta(seconds=seconds),
    }
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_RESERVE, asked)
            rows = cursor.fetchall()
    except IntegrityError:
        if first := _granted_before(key):
            return first
        raise
    if rows and rows[0][2] is not None:
        return Grant(reservation_id, int(rows[0][2]))
    if first := _granted_before(key):
        return first
    needs: sentences.Needs = {
        Resource.MONEY: price.bound_micros(input_tokens, minimum_output_tokens),
        Resource.TOKENS: input_tokens + minimum_output_tokens,
        Resource.CALLS: 1,
    }
    return _shortage(project, [budget_id for budget_id, short, _ in rows if short], needs)


def _granted_before(key: str) -> Grant | None:
    first = Reservation.objects.filter(key=key).first()
    return Grant(first.id, first.output_tokens) if first else None


def _shortage(project: Project, short: list[Any], needs: sentences.Needs) -> Shortage:
    """Why not. The rows are still locked by this transaction, so they say what the statement saw."""
    budgets = Budget.objects.in_bulk(short)
    if not budgets:
        return Shortage(sentences.no_budget(project), passing=False)
    lasting = [each for each in budgets.values() if each.unspent < needs[each.resource]]
    for budget in lasting:
        if not budget.has_room:
            _exhausted(budget)
    if lasting:
        return Shortage(sentences.too_little(lasting[0], project, needs), passing=False)
    return Shortage(sentences.held_elsewhere(budgets[short[0]], project, needs), passing=True)


def _exhausted(budget: Budget) -> None:
    """Say once, until the limit changes, that no call fits any more."""
    if Budget.objects.filter(pk=budget.pk, exhausted_at=None).update(exhausted_at=timezone.now()):
        events.record(
            "budget.exhausted",
            subject=budget.subject,
            project_id=budget.project_id,
            scope=budget.scope,
            resource=budget.resource,
            limit=budget.limit,
        )
