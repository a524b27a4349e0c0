"""A balance over time: what was used up to now, from the ledger, and what lies ahead. One query; no words."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
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
SELECT of.budget_id, date_trunc(%(slot)s, entry.created_at), sum(part.amount)::bigint
FROM budgets_ledgerentry AS entry, unnest(entry.windows, entry.amounts) AS part (window_id, amount)
JOIN budgets_window AS of ON of.id = part.window_id
WHERE entry.created_at >= %(since)s AND entry.created_at < %(until)s
  AND entry.month >= date_trunc('month', %(since)s, 'UTC')::date
  AND entry.kind = ANY(%(kinds)s)
  AND (%(projects)s::uuid[] IS NULL OR entry.project_id = ANY(%(projects)s))
  AND (%(machine)s::uuid IS NULL OR entry.machine_id = %(machine)s)
  AND of.budget_id = ANY(%(budgets)s)
GROUP BY 1, 2 ORDER BY 2
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
    cycle, back, _ = _pace(window.budget)
    return _burn(window, now, _series([window], cycle, now - back, now)[0], limit)


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
        pasts = _series(group, cycle, now - back, now)
        found |= {
            window.pk: _burn(window, now, past, None) for window, past in zip(group, pasts, strict=True)
        }
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
    windows = past.filter(closed_at__isnull=False).select_related("budget").order_by("-closed_at")
    judged = [held for window in windows[:JUDGED_MAX] if (held := _held(window)) is not None]
    return Calibration(len(judged), sum(judged))


def _held(window: Window) -> bool | None:
    """Whether the band held the truth; None where nothing had been forecast."""
    assert window.ends_at is not None
    middle = window.starts_at + (window.ends_at - window.starts_at) / 2
    past = _series([window], DAYS, middle - BACK, middle)[0]
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


def _series(windows: list[Window], cycle: Cycle, since: datetime, until: datetime) -> list[Series]:
    """What each window's budget was charged with. All of them are of projects, or none is; of one machine, or none."""
    projects = {window.budget.project_id for window in windows}
    asked: dict[str, Any] = {
        "slot": "hour" if cycle is DAYS else "minute",
        "since": since,
        "until": until,
        "kinds": list(LedgerEntry.CONSUMPTION),
        "projects": None if None in projects else list(projects),
        "machine": windows[0].budget.machine_id,
        "budgets": [window.budget_id for window in windows],
    }
    found: dict[int, list[tuple[datetime, int]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_BUCKETS, asked)
        for key, at, amount in cursor.fetchall():
            found.setdefault(key, []).append((at, amount))
    return [
        forecast.series(
            found.get(window.budget_id, []), until=until, cycle=cycle, zone=ZoneInfo(window.budget.timezone)
        )
        for window in windows
    ]


def _line(window: Window, past: Series, since: datetime, now: datetime) -> list[tuple[datetime, int]]:
    burned = forecast.burned(past, since=since)
    before = max(window.consumed - (burned[-1][1] if burned else 0), 0)
    known = ((at, before + total) for at, total in burned if since < at < now)
    return [(since, before), *known, (now, window.consumed)]
