"""A balance over time: what was used up to now, from the ledger, and what lies ahead. No words."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection

from budgets import forecast
from budgets.forecast import Forecast, Series, TooShort
from budgets.models import Budget, LedgerEntry, Window, months_of
from budgets.paths import DAYS, TEN_MINUTES, Cycle
from budgets.resources import Period

# Of budgets without an end: so far back is drawn, and so far ahead looked.
BACK = AHEAD = timedelta(days=30)
# A budget that lasts for hours is forecast from minutes.
BACK_SHORT, AHEAD_SHORT = timedelta(hours=6), timedelta(hours=2)
# Hours begin and days are halved at a quarter of an hour, whatever the time zone.
QUARTER, MINUTE = timedelta(minutes=15), timedelta(minutes=1)
# Forecasts of these periods are judged by what came true, so many of the latest.
_JUDGED, JUDGED_MAX = (Period.DAY, Period.WEEK, Period.MONTH), 60

_BUCKETS = """
SELECT of.budget_id, date_bin(%(step)s, entry.created_at, 'epoch'), sum(part.amount)::bigint
FROM budgets_ledgerentry AS entry, unnest(entry.windows, entry.amounts) AS part (window_id, amount)
JOIN budgets_window AS of ON of.id = part.window_id
WHERE entry.created_at >= %(since)s AND entry.created_at < %(until)s
  AND entry.month BETWEEN %(first)s AND %(last)s
  AND entry.kind = ANY(%(kinds)s)
  AND (%(projects)s::uuid[] IS NULL OR entry.project_id = ANY(%(projects)s))
  AND (%(machine)s::uuid IS NULL OR entry.machine_id = %(machine)s)
  AND of.budget_id = ANY(%(budgets)s)
GROUP BY 1, 2 ORDER BY 2
"""


# By budget: when how much was used, in order.
Used = dict[int, list[tuple[datetime, int]]]


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
    cycle, back, _ = _pace(window.budget)
    used = _used([window], cycle, now - back, now)
    return _burn(window, now, _series(window.budget, used, cycle, now), limit)


def of_all(windows: Iterable[Window], now: datetime) -> dict[int, Burn]:
    """`of` each, by its id. The ledger is read once for all that are reckoned in the same steps."""
    alike: dict[object, list[Window]] = {}
    for window in windows:
        budget = window.budget
        kind = (budget.project_id is None, budget.machine_id, _pace(budget))
        alike.setdefault(kind, []).append(window)
    found: dict[int, Burn] = {}
    for group in alike.values():
        cycle, back, _ = _pace(group[0].budget)
        used = _used(group, cycle, now - back, now)
        for window in group:
            found[window.pk] = _burn(window, now, _series(window.budget, used, cycle, now), None)
    return found


def _burn(window: Window, now: datetime, past: Series, limit: int | None) -> Burn:
    _, back, ahead = _pace(window.budget)
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
    ended = past.filter(closed_at__isnull=False).select_related("budget").order_by("-closed_at")
    middles = {window: _middle(window) for window in ended[:JUDGED_MAX]}
    if not middles:
        return Calibration(0, 0)
    used = _used(middles, DAYS, min(middles.values()) - BACK, max(middles.values()))
    judged = [held for window in middles if (held := _held(window, used)) is not None]
    return Calibration(len(judged), sum(judged))


def _middle(window: Window) -> datetime:
    assert window.ends_at is not None
    return window.starts_at + (window.ends_at - window.starts_at) / 2


def _held(window: Window, used: Used) -> bool | None:
    """Whether the band held the truth; None where nothing had been forecast."""
    assert window.ends_at is not None
    middle, all_used = _middle(window), used.get(window.budget_id, [])
    known = all_used[bisect_left(all_used, (middle - BACK,)) : bisect_left(all_used, (middle,))]
    past = _series(window.budget, {window.budget_id: known}, DAYS, middle)
    burned = forecast.burned(past, since=window.starts_at)
    consumed = burned[-1][1] if burned else 0
    said = forecast.forecast(past, now=middle, until=window.ends_at, limit=window.limit, consumed=consumed)
    if isinstance(said, TooShort):
        return None
    return said.consumed.low <= window.consumed <= said.consumed.high


def _pace(budget: Budget) -> tuple[Cycle, timedelta, timedelta]:
    """In which steps it is reckoned, from how far back, and how far ahead if it has no end."""
    short = budget.period in (Period.MINUTE, Period.HOUR) or budget.kind == "machine"
    return (TEN_MINUTES, BACK_SHORT, AHEAD_SHORT) if short else (DAYS, BACK, AHEAD)


def _used(windows: Iterable[Window], cycle: Cycle, since: datetime, until: datetime) -> Used:
    """What the budgets of these windows were charged with. All of them are of projects, or none is."""
    budgets = [window.budget for window in windows]
    projects = {budget.project_id for budget in budgets}
    machines = {budget.machine_id for budget in budgets}
    first, last = months_of(since, until)
    asked: dict[str, Any] = {
        "step": QUARTER if cycle is DAYS else MINUTE,
        "since": since,
        "until": until,
        "first": first,
        "last": last,
        "kinds": list(LedgerEntry.CONSUMPTION),
        "projects": None if None in projects else list(projects),
        "machine": machines.pop() if len(machines) == 1 else None,
        "budgets": [budget.pk for budget in budgets],
    }
    found: Used = {}
    with connection.cursor() as cursor:
        cursor.execute(_BUCKETS, asked)
        for key, at, amount in cursor.fetchall():
            found.setdefault(key, []).append((at, amount))
    return found


def _series(budget: Budget, used: Used, cycle: Cycle, until: datetime) -> Series:
    return forecast.series(used.get(budget.pk, []), until=until, cycle=cycle, zone=ZoneInfo(budget.timezone))


def _line(window: Window, past: Series, since: datetime, now: datetime) -> list[tuple[datetime, int]]:
    burned = forecast.burned(past, since=since)
    before = max(window.consumed - (burned[-1][1] if burned else 0), 0)
    known = ((at, before + total) for at, total in burned if since < at < now)
    return [(since, before), *known, (now, window.consumed)]
