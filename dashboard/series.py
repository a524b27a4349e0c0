"""What a machine's guest used over time and the tokens of its calls, as series to draw; at most so many points."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Sum
from django.db.models.functions import TruncMinute
from django.utils import timezone

from dashboard import words
from dashboard.axes import onto, points
from gateway.models import Call
from guests.models import Usage
from machines.models import Machine

HOUR = timedelta(hours=1)
POINTS = 240
WIDTH, HEIGHT = 300, 72
TOKENS = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens")


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
    """One line, with its text: `values` at `times` (seconds since 1970), `line` in units of the viewBox."""

    name: str
    title: str
    times: list[int]
    values: list[float]
    said: str
    line: str
    rows: list[tuple[datetime, str]]


def of(machine: Machine, *, run: bool = False) -> list[Series]:
    """Over the last hour up to its end or now, or over the whole run. Two queries."""
    until = machine.ended_at or timezone.now()
    since = machine.created_at if run else until - HOUR
    usage = list(Usage.objects.filter(guest=machine.guest_id, at__gte=since, at__lte=until).order_by("at"))
    made = [
        _series(name, title, say, [(row.at, value(row)) for row in usage])
        for name, (title, say, value) in SERIES.items()
    ]
    return [*made, _series("tokens", "Tokens", _tokens, _token_rate(machine, since, until))]


def as_json(found: Sequence[Series]) -> dict[str, Any]:
    """As the page's script takes them."""
    return {one.name: {"times": one.times, "values": one.values, "said": one.said} for one in found}


def _token_rate(machine: Machine, since: datetime, until: datetime) -> list[tuple[datetime, float]]:
    """Of each minute in which a call began; zero at the minutes beside it, where there was none."""
    calls = Call.objects.filter(machine=machine, started_at__gte=since, started_at__lte=until).order_by()
    by_minute = calls.annotate(minute=TruncMinute("started_at")).values("minute")
    found = by_minute.annotate(**{f"sum_{name}": Sum(name) for name in TOKENS})
    sums = {row["minute"]: float(sum(row[f"sum_{name}"] for name in TOKENS)) for row in found}
    minute = timedelta(minutes=1)
    beside = {at + step for at in sums for step in (-minute, minute) if since <= at + step <= until}
    return sorted((dict.fromkeys(beside, 0.0) | sums).items())


def _series(
    name: str, title: str, say: Callable[[float], str], found: list[tuple[datetime, float]]
) -> Series:
    every = -(-len(found) // POINTS) or 1
    kept = found[::-1][::every][::-1]
    values = [round(value, 3) for _, value in kept]
    said = ""
    if found:
        everything = [value for _, value in found]
        said = f"last {say(everything[-1])}, lowest {say(min(everything))}, highest {say(max(everything))}"
    return Series(
        name,
        title,
        [int(at.timestamp()) for at, _ in kept],
        values,
        said,
        _line(kept),
        [(at, say(value)) for at, value in kept[-60:]][::-1],
    )


def _line(kept: list[tuple[datetime, float]]) -> str:
    if len(kept) < 2:
        return ""
    x = onto(kept[0][0].timestamp(), kept[-1][0].timestamp(), 2, WIDTH - 2)
    y = onto(0, max(value for _, value in kept), HEIGHT - 2, 4)
    return points((x(at.timestamp()), y(value)) for at, value in kept)
