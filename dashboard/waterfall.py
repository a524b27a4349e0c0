"""A machine's spans of time as the geometry of an SVG: rows on one axis, on which long stretches are cut short."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from typing import Any

from dashboard import words
from dashboard.timeline import Span

WIDTH = 1000
GAP = timedelta(seconds=60)  # of nothing that begins or ends; more is drawn as a break
BREAK = 40.0  # units wide, as long as there is room
LEAST = 3.0  # units: less cannot be seen
LANES = ("machine", "model", "tools", "checkpoint", "wait")
NAMES = {
    "machine": "Machine",
    "model": "Model calls",
    "tools": "Tools",
    "checkpoint": "Checkpoints",
    "wait": "Waits",
}


@dataclass(frozen=True)
class Bar:
    """`look` is wait, work or held."""

    look: str
    x: float
    width: float


@dataclass(frozen=True)
class Row:
    """One span, or several alike that follow each other."""

    kind: str
    name: str
    count: int
    began: datetime
    took: str
    said: str
    address: str
    lasts: bool
    links: tuple[tuple[str, str], ...]
    bars: list[Bar]


@dataclass(frozen=True)
class Lane:
    """All spans of a kind on one line."""

    kind: str
    name: str
    y: int
    bars: list[Bar]


@dataclass(frozen=True)
class Break:
    """A stretch in which nothing began or ended, cut short; `text` says how long it was."""

    x: float
    width: float
    text: str


@dataclass(frozen=True)
class Waterfall:
    """`title` states what it shows; the rest is in units of the viewBox."""

    title: str
    rows: list[Row]
    lanes: list[Lane]
    breaks: list[Break]
    began: datetime
    ended: datetime


class Axis:
    """From times to places, with breaks; in compact form every boundary is as far from the next."""

    def __init__(self, spans: Iterable[Span], *, compact: bool) -> None:
        times = {at for span in spans for part in span.parts for at in (part.began, part.ended)}
        marks = sorted(times)
        steps = list(pairwise(marks))
        long = [] if compact else [late - early for early, late in steps if late - early > GAP]
        wide = WIDTH / max(len(long), 1)
        if len(long) < len(steps):
            wide = min(BREAK, wide * 0.6)
        seconds = sum((late - early).total_seconds() for early, late in steps if late - early <= GAP)
        scale = (WIDTH - wide * len(long)) / (seconds or 1)
        self.places = {marks[0]: 0.0}
        self.breaks: list[Break] = []
        at = 0.0
        for early, late in steps:
            if compact:
                width = WIDTH / len(steps)
            elif late - early > GAP:
                width = wide
                self.breaks.append(_break(at, wide, late - early))
            else:
                width = (late - early).total_seconds() * scale
            at += width
            self.places[late] = at

    def bar(self, look: str, began: datetime, ended: datetime) -> Bar:
        x, end = self.places[began], self.places[ended]
        width = max(end - x, LEAST)
        return Bar(look, round(min(x, WIDTH - width), 1), round(width, 1))


def draw(spans: list[Span], *, compact: bool = False) -> Waterfall | None:
    """The spans, oldest first; None where there are none."""
    if not spans:
        return None
    axis = Axis(spans, compact=compact)
    return Waterfall(
        _title(spans),
        [_row(axis, list(alike)) for _, alike in groupby(enumerate(spans), key=_alike)],
        [_lane(axis, at, kind, spans) for at, kind in enumerate(LANES)],
        axis.breaks,
        spans[0].began,
        max(span.ended for span in spans),
    )


def _alike(numbered: tuple[int, Span]) -> tuple[str, Any]:
    at, span = numbered
    return span.kind, span.same or at


def _row(axis: Axis, numbered: list[tuple[int, Span]]) -> Row:
    spans = [span for _, span in numbered]
    first, last = spans[0], spans[-1]
    name = first.name if len(spans) == 1 else f"{first.name} to {last.name.rpartition(' ')[2]}"
    return Row(
        kind=first.kind,
        name=name,
        count=len(spans),
        began=first.began,
        took=_lasted(_union(spans)),
        said=first.said,
        address=first.address,
        lasts=last.lasts,
        links=first.links,
        bars=[axis.bar(part.look, part.began, part.ended) for span in spans for part in span.parts],
    )


def _lane(axis: Axis, at: int, kind: str, spans: list[Span]) -> Lane:
    bars = [
        axis.bar(part.look, part.began, part.ended)
        for span in spans
        if span.kind == kind
        for part in span.parts
    ]
    return Lane(kind, NAMES[kind], at * 24, bars)


def _break(at: float, wide: float, gap: timedelta) -> Break:
    return Break(round(at, 1), round(wide, 1), words.elapsed(gap.total_seconds()))


def _union(spans: Iterable[Span]) -> timedelta:
    """How long at least one of them lasted."""
    whole, until = timedelta(), None
    for span in sorted(spans, key=lambda one: one.began):
        began = span.began if until is None else max(span.began, until)
        whole += max(span.ended - began, timedelta())
        until = span.ended if until is None else max(until, span.ended)
    return whole


def _title(spans: list[Span]) -> str:
    calls = [span for span in spans if span.kind == "model"]
    whole = _lasted(max(span.ended for span in spans) - spans[0].began)
    if not calls:
        return f"No model call in {whole}."
    held = sum(
        (part.ended - part.began for span in calls for part in span.parts if part.look == "held"), timedelta()
    )
    taken = f"{len(calls)} call{'' if len(calls) == 1 else 's'} took {_lasted(_union(calls))} of {whole}"
    return (
        f"{taken}; checkpoints held {'it' if len(calls) == 1 else 'them'} up for {_lasted(held)}."
        if held
        else f"{taken}."
    )


def _lasted(span: timedelta) -> str:
    return words.milliseconds(span // timedelta(milliseconds=1))
