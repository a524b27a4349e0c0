"""What was spent day by day as the geometry of an SVG, the days on which nothing was spent among them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from budgets.reports import Used
from budgets.resources import Resource
from dashboard import words
from dashboard.axes import Tick, marks, onto

LEFT, RIGHT, TOP, BOTTOM = 60, 596, 12, 140
LABELS_MAX = 6
GAP = 0.25  # of a day's width


@dataclass(frozen=True)
class Bar:
    """A day; `said` is what it tells when it is pointed at."""

    x: float
    y: float
    width: float
    height: float
    said: str


@dataclass(frozen=True)
class Bars:
    """Everything in units of the viewBox. `title` says what the chart shows."""

    title: str
    bars: list[Bar]
    amounts: list[Tick]
    days: list[Tick]


def draw(used: Mapping[date, Used], currency: str, until: date, days: int) -> Bars | None:
    """The days up to `until`; None where nothing was spent, or there is one day alone."""
    shown = [until - timedelta(days=back) for back in reversed(range(days + 1))]
    spent = {day: used[day].micros if day in used else 0 for day in shown}
    dearest = max(shown, key=lambda day: spent[day])
    if days < 2 or not spent[dearest]:
        return None
    step, ceiling = marks(spent[dearest], Resource.MONEY)
    y, width = onto(0, ceiling, BOTTOM, TOP), (RIGHT - LEFT) / len(shown)
    every = -(-len(shown) // LABELS_MAX)
    return Bars(
        _title(spent, dearest, currency),
        [_bar(at, day, spent[day], currency, width, y(spent[day])) for at, day in enumerate(shown)],
        [Tick(y(one), words.money(one, currency)) for one in range(0, ceiling + 1, step)],
        [Tick(_x(at + 0.5, width), _named(day)) for at, day in enumerate(shown) if at % every == 0],
    )


def _title(spent: Mapping[date, int], dearest: date, currency: str) -> str:
    busy = sum(one > 0 for one in spent.values())
    most = f"Most was spent on {_named(dearest)}: {words.money(spent[dearest], currency)}"
    return f"{most} of {words.money(sum(spent.values()), currency)}, on {busy} day{'' if busy == 1 else 's'}."


def _bar(at: int, day: date, micros: int, currency: str, width: float, top: float) -> Bar:
    said = f"{_named(day)}: {words.money(micros, currency)}"
    return Bar(_x(at + GAP / 2, width), top, round(width * (1 - GAP), 1), round(BOTTOM - top, 1), said)


def _x(at: float, width: float) -> float:
    return round(LEFT + at * width, 1)


def _named(day: date) -> str:
    return f"{day.day} {day:%b}"
