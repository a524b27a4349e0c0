"""What a machine's guest used over time and the tokens of its calls, as series to draw; at most so many points."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from itertools import groupby
from operator import add
from typing import Any, NamedTuple

from django.db.models import (
    Avg,
    DurationField,
    ExpressionWrapper,
    F,
    FloatField,
    Func,
    IntegerField,
    Max,
    Min,
    Sum,
    Value,
)
from django.db.models.expressions import Combinable
from django.db.models.functions import Extract, Floor
from django.utils import timezone

from dashboard import words
from dashboard.axes import onto, points
from gateway.models import Call
from guests.models import Usage
from machines.models import Machine

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
POINTS = 240
ROWS = 60
WIDTH, HEIGHT = 300, 72
TOKENS = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens")


def _cores(value: float) -> str:
    return f"{value:.2f} cores"


def _rate(value: float) -> str:
    return f"{words.size(value)}/s"


def _tokens(value: float) -> str:
    return f"{words.tokens(round(value))} a minute"


# What is drawn, how a value of it is worded, and what it is of a minute's row.
SERIES: dict[str, tuple[str, Callable[[float], str], Combinable]] = {
    "cpu": ("CPU", _cores, F("cpu_seconds") / 60.0),
    "memory": ("Memory", words.size, F("memory_bytes") * 1.0),
    "disk": ("Disk", _rate, (F("disk_read_bytes") + F("disk_written_bytes")) / 60.0),
    "network": ("Network", _rate, (F("received_bytes") + F("sent_bytes")) / 60.0),
}


@dataclass(frozen=True)
class Series:
    """One line, with its text: for each time a value, None where nobody measured, and its words; `lines` in units of
    the viewBox."""

    name: str
    title: str
    values: list[float | None]
    said: str
    lines: list[str]
    words: list[str]


@dataclass(frozen=True)
class Chart:
    """All series over the same `times`, which are `step` apart. `measured` and `called`: whether there is any of it."""

    times: list[datetime]
    step: timedelta
    series: list[Series]
    measured: bool
    called: bool

    @property
    def shown(self) -> list[Series]:
        """Those of which anything is known."""
        return [one for one in self.series if one.said]

    @property
    def rows(self) -> list[tuple[datetime, list[str]]]:
        """The last times at which anything was measured, the latest first, with the words of each series shown."""
        by_time = zip(self.times, zip(*(one.words for one in self.shown), strict=True), strict=False)
        return [(at, list(words)) for at, words in by_time if any(words)][-ROWS:][::-1]

    def as_json(self, last: int = 0) -> dict[str, Any]:
        """As the page's script takes it, times in seconds since 1970; only the `last` points, if that is given."""
        return {
            "times": [int(at.timestamp()) for at in self.times[-last:]],
            "step": self.step // timedelta(seconds=1),
            "series": {one.name: {"values": one.values[-last:], "said": one.said} for one in self.shown},
        }


class _Measured(NamedTuple):
    """Of one step, per minute."""

    average: float
    lowest: float
    highest: float


# By the step's number.
_Steps = Mapping[int, _Measured]


def of(machine: Machine, *, run: bool = False) -> Chart:
    """Over the last hour up to its end or now, or over the whole run. Two queries, of a row for each step."""
    until = machine.ended_at or timezone.now()
    since = machine.created_at if run else max(machine.created_at, until - HOUR)
    times, step = _grid(_minute(since), _minute(until))
    usage = _usage(machine, times[0], until, step)
    called = _token_rate(machine, times, until, step)
    made = [_series(name, title, say, usage[name], times) for name, (title, say, _) in SERIES.items()]
    made.append(_series("tokens", "Tokens", _tokens, called, times))
    return Chart(times, step, made, bool(usage["cpu"]), bool(called))


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _grid(first: datetime, last: datetime) -> tuple[list[datetime], timedelta]:
    minutes = (last - first) // MINUTE + 1
    every = math.ceil(minutes / POINTS)
    return [first + at * MINUTE for at in range(0, minutes, every)], every * MINUTE


def _number(of: str, first: datetime, step: timedelta) -> Func:
    """Which step after `first` a time is in."""
    since = ExpressionWrapper(F(of) - Value(first), DurationField())
    return Floor(Extract(since, "epoch") / step.total_seconds(), output_field=IntegerField())


def _usage(machine: Machine, first: datetime, until: datetime, step: timedelta) -> dict[str, _Steps]:
    """By series."""
    minutes = Usage.objects.filter(guest=machine.guest_id, at__gte=first, at__lte=until).order_by()
    wanted = {
        f"{name}_{of.name}": of(value, output_field=FloatField())
        for name, (*_, value) in SERIES.items()
        for of in (Avg, Min, Max)
    }
    found = list(minutes.annotate(step=_number("at", first, step)).values("step").annotate(**wanted))
    return {
        name: {row["step"]: _Measured(*(row[f"{name}_{of.name}"] for of in (Avg, Min, Max))) for row in found}
        for name in SERIES
    }


def _token_rate(machine: Machine, times: list[datetime], until: datetime, step: timedelta) -> _Steps:
    """By the beginnings of calls; nothing where none was made at all, else 0 where none was."""
    calls = Call.objects.filter(machine=machine, started_at__gte=times[0], started_at__lte=until).order_by()
    by_step = calls.annotate(step=_number("started_at", times[0], step)).values("step")
    found = by_step.annotate(tokens=Sum(reduce(add, map(F, TOKENS))))
    tokens = {row["step"]: row["tokens"] for row in found}
    if not tokens:
        return {}
    rates = [
        tokens.get(number, 0) / (min(step, _minute(until) + MINUTE - at) / MINUTE)
        for number, at in enumerate(times)
    ]
    return {number: _Measured(rate, rate, rate) for number, rate in enumerate(rates)}


def _series(
    name: str, title: str, say: Callable[[float], str], found: _Steps, times: list[datetime]
) -> Series:
    values = [round(found[at].average, 3) if at in found else None for at in range(len(times))]
    said = ""
    if found:
        last = found[max(found)].average
        low, high = min(one.lowest for one in found.values()), max(one.highest for one in found.values())
        said = f"last {say(last)}, lowest {say(low)}, highest {say(high)}"
    words = ["" if value is None else say(value) for value in values]
    return Series(name, title, values, said, _lines(values), words)


def _lines(values: Sequence[float | None]) -> list[str]:
    """A line for each stretch without a gap."""
    known = [value for value in values if value is not None]
    x = onto(0, max(len(values) - 1, 1), 2, WIDTH - 2)
    y = onto(0, max(known, default=0), HEIGHT - 2, 4)
    stretches = groupby(enumerate(values), key=lambda numbered: numbered[1] is not None)
    return [
        _line((x(at), y(value)) for at, value in stretch if value is not None)
        for there, stretch in stretches
        if there
    ]


def _line(places: Iterable[tuple[float, float]]) -> str:
    """One point alone is a line of no length, which is drawn as a dot."""
    found = list(places)
    return points(found if len(found) > 1 else found * 2)
