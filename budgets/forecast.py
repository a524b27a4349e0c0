"""What a budget will have used up, and when it runs out, from what it used before. Pure functions over plain data.

The method is in `budgets.paths`. The same input gives the same answer. How often the truth falls into the 80 % band
is measured in `tests/budgets/test_forecast.py`; see `docs/forecasts.md`.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import accumulate, pairwise

from budgets.paths import CYCLES_MAX, DAYS, PATHS, Cycle, Pool, Stretch, simulate

CYCLES_MIN = 3  # fewer say next to nothing about how much they differ
LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9  # eight of ten are between the outer two
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Series:
    """What was used in each slot, in order; `first` is the number of the first, counted from 1970 in local time."""

    cycle: Cycle
    zone: tzinfo
    first: int
    amounts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Band:
    """Low, middle and high: eight of ten simulated paths are between the outer two."""

    low: int
    middle: int
    high: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A point of a burn-down chart, in the future."""

    at: datetime
    consumed: Band


@dataclass(frozen=True, slots=True)
class Forecast:
    """What lies ahead until `until`, if the past goes on and no limit stops it.

    `runs_out` are the times at which one, five and nine of ten paths have reached the limit; None where that is
    after `until`. `risk` is the part of the paths that reach it before. `marks` are for a chart.
    """

    until: datetime
    consumed: Band
    runs_out: tuple[datetime | None, datetime | None, datetime | None]
    risk: float
    marks: list[Mark]
    cycles: int

    @property
    def lasts(self) -> bool:
        """Whether it is likely enough (nine of ten paths) not to run out."""
        return self.runs_out[0] is None


@dataclass(frozen=True, slots=True)
class TooShort:
    """There is not enough history to say anything."""

    have: int
    unit: str
    need: int = CYCLES_MIN

    def __str__(self) -> str:
        return (
            f"Not enough history for a forecast: it needs {self.need} {self.unit}, and there are {self.have}."
        )


def series(
    buckets: Iterable[tuple[datetime, int]], *, until: datetime, cycle: Cycle = DAYS, zone: tzinfo = UTC
) -> Series:
    """The dense series from the first bucket up to `until`; slots without a bucket used nothing."""
    found: dict[int, int] = {}
    for at, amount in buckets:
        number = int(_slot(at, cycle, zone))
        found[number] = found.get(number, 0) + amount
    last = math.ceil(_slot(until, cycle, zone))
    first = min(found, default=last)
    return Series(cycle, zone, first, [found.get(number, 0) for number in range(first, last)])


def forecast(
    past: Series, *, now: datetime, until: datetime, limit: int, consumed: int
) -> Forecast | TooShort:
    """Simulate from `now` until `until`, with `consumed` of `limit` gone already.

    `until` is the end of the period or, where it has none, as far as one wants to look.
    """
    pool = _whole_cycles(past, now)
    if len(pool) < CYCLES_MIN:
        return TooShort(len(pool), past.cycle.name)
    times, stretches = _ahead(past, now, until)
    paths = [
        list(accumulate(steps, initial=float(consumed))) for steps in simulate(pool, stretches, past.cycle)
    ]
    marks = [
        Mark(at, _band(sorted(column))) for at, column in zip(times, zip(*paths, strict=True), strict=True)
    ]
    reached = sorted(_reaches(path, limit) for path in paths)
    return Forecast(
        until=until,
        consumed=marks[-1].consumed,
        runs_out=tuple(_when(_at(reached, part), times) for part in (LOW, MIDDLE, HIGH)),  # type: ignore[arg-type]
        risk=sum(math.isfinite(one) for one in reached) / PATHS,
        marks=marks,
        cycles=len(pool),
    )


def burned(past: Series, *, since: datetime) -> list[tuple[datetime, int]]:
    """How much had been consumed at the end of each slot since then: the part of the chart that is known."""
    start = max(int(_slot(since, past.cycle, past.zone)), past.first)
    sums = accumulate(past.amounts[start - past.first :])
    return [(_time(number + 1, past), total) for number, total in enumerate(sums, start)]


# Slots are numbered by local wall-clock time, so that a day begins at midnight where the budget is.


def _slot(at: datetime, cycle: Cycle, zone: tzinfo) -> float:
    return (at.astimezone(zone).replace(tzinfo=None) - _EPOCH).total_seconds() / cycle.seconds


def _time(slot: float, past: Series) -> datetime:
    wall = _EPOCH + timedelta(seconds=slot * past.cycle.seconds)
    return wall.replace(tzinfo=past.zone).astimezone(UTC)


def _whole_cycles(past: Series, now: datetime) -> Pool:
    """By its number, each cycle that is over, as running totals by slot; the first, being partial, is left out."""
    slots = past.cycle.slots
    last = int(_slot(now, past.cycle, past.zone)) // slots
    first = max(-(-past.first // slots), last - CYCLES_MAX)
    begin = {number: number * slots - past.first for number in range(first, last)}
    return {
        number: list(accumulate(past.amounts[at : at + slots], initial=0.0)) for number, at in begin.items()
    }


def _ahead(past: Series, now: datetime, until: datetime) -> tuple[list[datetime], list[Stretch]]:
    """The marks to reckon at (now, each slot's end, or each cycle's end if they are many), and what is between."""
    cycle = past.cycle
    start, end = _slot(now, cycle, past.zone), _slot(until, cycle, past.zone)
    step = 1 if end - start <= 2 * cycle.slots else cycle.slots
    inner = range((int(start) // step + 1) * step, math.ceil(end), step)
    marks = [start, *inner, max(end, start)]
    stretches = [_stretch(a, b, cycle.slots) for a, b in pairwise(marks)]
    return [now, *(_time(mark, past) for mark in marks[1:-1]), until], stretches


def _stretch(start: float, end: float, slots: int) -> Stretch:
    number = int(start) // slots
    return number, start - number * slots, end - number * slots


def _at(ordered: Sequence[float], part: float) -> float:
    return ordered[round(part * (len(ordered) - 1))]


def _band(ordered: Sequence[float]) -> Band:
    return Band(*(round(_at(ordered, part)) for part in (LOW, MIDDLE, HIGH)))


def _reaches(path: Sequence[float], limit: int) -> float:
    """At which mark, with fractions, the path reaches the limit; infinite if it does not."""
    for number, total in enumerate(path):
        if total >= limit:
            before = path[number - 1] if number else total
            return number - (total - limit) / (total - before) if total > before else float(number)
    return math.inf


def _when(mark: float, times: Sequence[datetime]) -> datetime | None:
    if not math.isfinite(mark):
        return None
    before, after = times[math.floor(mark)], times[math.ceil(mark)]
    return before + (after - before) * (mark % 1)
