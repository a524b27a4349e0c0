"""What a machine's guest used over time and the tokens of its calls, as series to draw; at most so many points."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.db.models import Sum
from django.db.models.functions import TruncMinute
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

Measured = Mapping[datetime, float]


def _cores(value: float) -> str:
    return f"{value:.2f} cores"


def _rate(value: float) -> str:
    return f"{words.size(value)}/s"


def _tokens(value: float) -> str:
    return f"{words.tokens(round(value))} a minute"


# What is drawn, how a value of it is worded, and what it is of a minute's row.
SERIES: dict[str, tuple[str, Callable[[float], str], Callable[[Usage], float]]] = {
    "cpu": ("CPU", _cores, lambda row: row.cpu_seconds / 60),
    "memory": ("Memory", words.size, lambda row: row.memory_bytes),
    "disk": ("Disk", _rate, lambda row: (row.disk_read_bytes + row.disk_written_bytes) / 60),
    "network": ("Network", _rate, lambda row: (row.received_bytes + row.sent_bytes) / 60),
}


@dataclass(frozen=True)
class Series:
    """One line, with its text: a value for each time, None where nobody measured; `lines` in units of the viewBox."""

    name: str
    title: str
    values: list[float | None]
    said: str
    lines: list[str]
    rows: list[tuple[datetime, str]]


@dataclass(frozen=True)
class Chart:
    """All series over the same `times`, which are `step` apart. `measured` and `called`: whether there is any of it."""

    times: list[datetime]
    step: timedelta
    series: list[Series]
    measured: bool
    called: bool

    def as_json(self, last: int = 0) -> dict[str, Any]:
        """As the page's script takes it, times in seconds since 1970; only the `last` points, if that is given."""
        return {
            "times": [int(at.timestamp()) for at in self.times[-last:]],
            "step": self.step // timedelta(seconds=1),
            "series": {
                one.name: {"values": one.values[-last:], "said": one.said} for one in self.series if one.said
            },
        }


def of(machine: Machine, *, run: bool = False) -> Chart:
    """Over the last hour up to its end or now, or over the whole run. Two queries."""
    until = machine.ended_at or timezone.now()
    since = machine.created_at if run else max(machine.created_at, until - HOUR)
    usage = list(Usage.objects.filter(guest=machine.guest_id, at__gte=_minute(since), at__lte=until))
    called = _token_rate(machine, since, until)
    times, step = _grid(since, until)
    made = [
        _series(name, title, say, {row.at: value(row) for row in usage}, times, step)
        for name, (title, say, value) in SERIES.items()
    ]
    rates = {at: called.get(at, 0.0) for at in _minutes(since, until)} if called else {}
    made.append(_series("tokens", "Tokens", _tokens, rates, times, step))
    return Chart(times, step, made, bool(usage), bool(called))


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _minutes(since: datetime, until: datetime) -> list[datetime]:
    first = _minute(since)
    return [first + at * MINUTE for at in range((_minute(until) - first) // MINUTE + 1)]


def _grid(since: datetime, until: datetime) -> tuple[list[datetime], timedelta]:
    minutes = _minutes(since, until)
    every = math.ceil(len(minutes) / POINTS)
    return minutes[::every], every * MINUTE


def _token_rate(machine: Machine, since: datetime, until: datetime) -> dict[datetime, float]:
    """Of each minute in which a call began."""
    calls = Call.objects.filter(machine=machine, started_at__gte=_minute(since), started_at__lte=until)
    by_minute = calls.order_by().annotate(minute=TruncMinute("started_at")).values("minute")
    found = by_minute.annotate(**{f"sum_{name}": Sum(name) for name in TOKENS})
    return {row["minute"]: float(sum(row[f"sum_{name}"] for name in TOKENS)) for row in found}


def _series(
    name: str,
    title: str,
    say: Callable[[float], str],
    found: Measured,
    times: list[datetime],
    step: timedelta,
) -> Series:
    values = _averages(found, times, step)
    ordered = sorted(found.items())
    said = ""
    if ordered:
        last, low, high = ordered[-1][1], min(found.values()), max(found.values())
        said = f"last {say(last)}, lowest {say(low)}, highest {say(high)}"
    rows = [(at, say(value)) for at, value in ordered[-ROWS:]][::-1]
    return Series(name, title, values, said, _lines(values), rows)


def _averages(found: Measured, times: list[datetime], step: timedelta) -> list[float | None]:
    """Of what was measured from each time to the next."""
    slots: dict[int, list[float]] = {}
    for at, value in found.items():
        slots.setdefault((at - times[0]) // step, []).append(value)
    return [round(sum(slots[at]) / len(slots[at]), 3) if at in slots else None for at in range(len(times))]


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
