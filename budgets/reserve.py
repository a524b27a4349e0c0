"""Place a hold: on every budget that applies, or on none. The work is done by `budgets_reserve` in sql/ledger.sql."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from budgets import limits, sentences
from budgets.models import Reservation, Window
from budgets.prices import Price
from budgets.resources import Needs, Payer, amount_of
from projects.models import Project


@dataclass(frozen=True, slots=True)
class Grant:
    """A hold was placed for so many units: tokens of an answer, or seconds.

    `landing`: it was taken from what is kept back for wrapping up, and the agent should be told.
    """

    reservation_id: UUID
    units: int
    landing: bool = False


@dataclass(frozen=True, slots=True)
class Shortage:
    """No hold was placed. `passing`: there will be enough when calls under way have ended, or in the next minute.

    `needs` is the least that would have done, by resource: what to wait for before the same is tried again.
    """

    sentence: str
    passing: bool
    retry_after_seconds: int | None = None
    needs: dict[str, int] = field(default_factory=dict)


def reserve(
    key: str,
    *,
    payer: Payer,
    needs: Needs,
    wanted: int,
    minimum: int = 1,
    label: str,
    price_version: str = "",
    seconds: float,
) -> Grant | Shortage:
    """Hold the most that something can use on every budget that applies to it; or on none, and say why.

    It is cut to as many units as there is room for, but not below `minimum`. The same `key` again returns the first
    grant. Where money is needed, a payer without a budget for it has nothing to spend. The hold expires
    after `seconds`.
    """
    now = timezone.now()
    asked = {
        "id": str(uuid4()),
        "key": key,
        "holders": payer.holders,
        "needs": needs,
        "wanted": wanted,
        "minimum": minimum,
        "project": str(payer.project_id),
        "machine": payer.machine_id and str(payer.machine_id),
        "member": payer.member_id,
        "label": label,
        "price_version": price_version,
        "expires": (now + timedelta(seconds=seconds)).isoformat(),
    }
    try:
        with transaction.atomic():
            return _ask(asked, payer, needs, minimum, now)
    except IntegrityError:  # the same key, at the same moment
        first = Reservation.objects.filter(key=key).first()
        if first is None:
            raise
        return Grant(first.id, first.units, first.landing)


def reserve_call(
    key: str,
    *,
    payer: Payer,
    price: Price,
    input_tokens: int,
    output_tokens: int,
    minimum_output_tokens: int = 1,
    cache_writes: str = "1h",
    seconds: float,
) -> Grant | Shortage:
    """Hold what a model call can cost at most: `input_tokens` is an upper bound, `output_tokens` what is wanted."""
    return reserve(
        key,
        payer=payer,
        needs=price.needs(input_tokens, cache_writes),
        wanted=output_tokens,
        minimum=minimum_output_tokens,
        label=price.model,
        price_version=price.version,
        seconds=seconds,
    )


def _ask(asked: dict[str, Any], payer: Payer, needs: Needs, minimum: int, now: datetime) -> Grant | Shortage:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM budgets_reserve(%s::jsonb, %s)", [json.dumps([asked]), now])
        reservation_id, units, landing, short = cursor.fetchone()
    if reservation_id:
        return Grant(reservation_id, units, landing)
    least = {resource: amount_of(need, minimum) for resource, need in needs.items()}
    return shortage(Project.objects.get(pk=payer.project_id), short, least)


def shortage(project: Project, short: list[int], needs: dict[str, int]) -> Shortage:
    """Why there was no grant: the sentence for the tightest of the windows that were too small."""
    windows = list(Window.objects.filter(pk__in=short).select_related("budget"))
    if not windows:
        return Shortage(sentences.no_budget(project), passing=False, needs=needs)
    lasting = [one for one in windows if not one.is_rate and one.unspent < needs[one.resource]]
    for window in lasting:
        if not window.has_room:
            _exhausted(window)
    if lasting:
        return Shortage(sentences.too_little(lasting[0], project, needs), passing=False, needs=needs)
    if rates := [one for one in windows if one.is_rate]:
        wait = max((one.ends_at - timezone.now()).total_seconds() for one in rates if one.ends_at)
        return Shortage(sentences.too_fast(rates[0], project), True, max(1, round(wait)), needs)
    return Shortage(sentences.held_elsewhere(windows[0], project, needs), True, None, needs)


def _exhausted(window: Window) -> None:
    """Say once, until the limit changes, that no call fits any more."""
    if Window.objects.filter(pk=window.pk, exhausted_at=None).update(exhausted_at=timezone.now()):
        limits.tell("budget.exhausted", window.budget, limit=window.limit)
