"""A balance over time: what was used up to now, from the ledger, and what lies ahead. One query; no words."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection

from budgets import forecast
from budgets.forecast import Forecast, Series, TooShort
from budgets.models import Budget, LedgerEntry, Window
from budgets.paths import DAYS, TEN_MINUTES, Cycle
from budgets.resources import Period

# Of budgets without an end: so far back is drawn, and so far ahead looked.
BACK = AHEAD = timedelta(days=30)
# A budget that lasts for hours is forecast from minutes.
BACK_SHORT, AHEAD_SHORT = timedelta(hours=6), timedelta(hours=2)
# Forecasts of these periods are judged by what came true, so many of the latest.
_JUDGED, JUDGED_MAX = (Period.DAY, Period.WEEK, Period.MONTH), 60

_BUCKETS = """
SELECT date_trunc(%(slot)s, entry.created_at), sum(part.amount)::bigint
FROM budgets_ledgerentry AS entry, unnest(entry.windows, entry.amounts) AS part (window_id, amount)
WHERE entry.created_at >= %(since)s AND entry.created_at < %(until)s
  AND entry.month >= date_trunc('month', %(since)s, 'UTC')::date
  AND entry.kind = ANY(%(kinds)s)
  AND (%(project)s::uuid IS NULL OR entry.project_id = %(project)s)
  AND (%(machine)s::uuid IS NULL OR entry.machine_id = %(machine)s)
  AND part.window_id IN (SELECT id FROM budgets_window WHERE budget_id = %(budget)s)
GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of `n` forecasts made half-way, how many bands held the truth; 80 % are promised."""

    n: int
    inside: int


@dataclass(frozen=True, slots=True)
class Burn:
    """`line` is what had been consumed at each time, from the period's beginning, or a month ago, up to now."""

    window: Window
    line: list[tuple[datetime, int]]
    until: datetime
    forecast: Forecast | TooShort


def of(window: Window, now: datetime, *, limit: int | None = None) -> Burn:
    """The balance's past and future, with the limit as it is or as it would be. Periods before count as past, too."""
    cycle, back, ahead = _pace(window.budget, now)
    past = _series(window, cycle, now - back, now)
    until = window.ends_at or now + ahead
    since = max(window.starts_at, now - back)
    said = forecast.forecast(
        past, now=now, until=until, limit=window.limit if limit is None else limit, consumed=window.consumed
    )
    return Burn(window, _line(window, past, since, now), until, said)


def calibration(project_id: UUID) -> Calibration:
    """What was forecast in the middle of each of the project's past days, weeks and months, and what came true.

    Nothing is kept for it: the same ledger gives the same forecast again. Periods that ran out are left out, for
    nobody knows what would have been used; so are those in whose middle there was not enough history.
    """
    past = Window.objects.filter(budget__project_id=project_id, budget__period__in=_JUDGED, exhausted_at=None)
    windows = past.filter(closed_at__isnull=False).select_related("budget").order_by("-closed_at")
    judged = [held for window in windows[:JUDGED_MAX] if (held := _held(window)) is not None]
    return Calibration(len(judged), sum(judged))


def _held(window: Window) -> bool | None:
    """Whether the band held the truth; None where nothing had been forecast."""
    assert window.ends_at is not None
    middle = window.starts_at + (window.ends_at - window.starts_at) / 2
    past = _series(window, DAYS, middle - BACK, middle)
    burned = forecast.burned(past, since=window.starts_at)
    consumed = burned[-1][1] if burned else 0
    said = forecast.forecast(past, now=middle, until=window.ends_at, limit=window.limit, consumed=consumed)
    if isinstance(said, TooShort):
        return None
    return said.consumed.low <= window.consumed <= said.consumed.high


def _pace(budget: Budget, now: datetime) -> tuple[Cycle, timedelta, timedelta]:
    """In which steps it is reckoned, from how far back, and how far ahead if it has no end."""
    short = budget.period in (Period.MINUTE, Period.HOUR) or budget.kind == "machine"
    return (TEN_MINUTES, BACK_SHORT, AHEAD_SHORT) if short else (DAYS, BACK, AHEAD)


def _series(window: Window, cycle: Cycle, since: datetime, until: datetime) -> Series:
    budget = window.budget
    asked = {
        "slot": "hour" if cycle is DAYS else "minute",
        "since": since,
        "until": until,
        "kinds": list(LedgerEntry.CONSUMPTION),
        "project": budget.project_id,
        "machine": budget.machine_id,
        "budget": budget.pk,
    }
    with connection.cursor() as cursor:
        cursor.execute(_BUCKETS, asked)
        return forecast.series(cursor.fetchall(), until=until, cycle=cycle, zone=ZoneInfo(budget.timezone))


def _line(window: Window, past: Series, since: datetime, now: datetime) -> list[tuple[datetime, int]]:
    burned = forecast.burned(past, since=since)
    before = max(window.consumed - (burned[-1][1] if burned else 0), 0)
    known = ((at, before + total) for at, total in burned if since < at < now)
    return [(since, before), *known, (now, window.consumed)]
