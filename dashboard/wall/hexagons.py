"""The fleet map, laid out to fill a screen of any size; with too many machines to tell apart, bars by node."""

from dataclasses import dataclass
from typing import NamedTuple

from dashboard.fleet import picture
from dashboard.fleet.picture import RISE, WIDTH, Hexagon, Map, Place
from dashboard.look import Look
from dashboard.wall.sight import Sight

ASPECT = 64 / 34  # of the room that it usually has
LABEL, GAP = 34, 24  # above the hexagons of a place, and between places
LETTER = 10  # the width of one, in labels
NARROWEST = 300  # so that few machines are not drawn gigantic
ROWS_MAX = 24
BARS_MAX = 10


class Cell(NamedTuple):
    """A hexagon where it is drawn."""

    look: str
    x: int
    y: int


@dataclass(frozen=True)
class Cluster:
    """A place with its hexagons, from `x` on."""

    label: str
    total: int
    x: int
    cells: list[Cell]


class Part(NamedTuple):
    """Of a bar: from `start`, both in per cent of the longest."""

    tone: str
    start: float
    width: float


class Bar(NamedTuple):
    """A place that has too many machines to draw each."""

    place: Place
    parts: list[Part]


@dataclass(frozen=True)
class Drawing:
    """Clusters in a box of `width` by `height`; or `bars`, and how many places have none."""

    map: Map
    width: int
    height: int
    clusters: list[Cluster]
    bars: list[Bar]
    more: int = 0

    @property
    def looks(self) -> list[tuple[str, Look]]:
        return self.map.looks


def draw(sight: Sight) -> Drawing:
    """One query; one more where there are too many machines."""
    found = picture.of(sight.machines, "")
    if found.places and not found.drawn:
        longest = sorted(found.places, key=lambda place: -place.total)[:BARS_MAX]
        bars = [_bar(found, place, longest[0].total) for place in longest]
        return Drawing(found, 0, 0, [], bars, len(found.places) - len(bars))
    rows = max(range(1, ROWS_MAX + 1), key=lambda rows: _scale(found.places, rows))
    clusters, width = _clusters(found.places, rows)
    return Drawing(found, max(width, NARROWEST), _height(rows), clusters, [])


def _scale(places: list[Place], rows: int) -> float:
    """How large it would be drawn."""
    width = sum(_width(place, rows) + GAP for place in places)
    return min(ASPECT / max(width, NARROWEST), 1 / _height(rows))


def _width(place: Place, rows: int) -> int:
    columns = -(-place.total // rows)
    return max(columns * WIDTH + WIDTH // 2, min(len(place.name) + 4, 14) * LETTER)


def _height(rows: int) -> int:
    return LABEL + rows * RISE + 10


def _clusters(places: list[Place], rows: int) -> tuple[list[Cluster], int]:
    clusters, x = [], 0
    for place in places:
        width = _width(place, rows)
        flat = [hexagon for column in place.columns for hexagon in column]
        columns = -(-len(flat) // rows)
        cells = [_cell(hexagon, at, columns, x) for at, hexagon in enumerate(flat)]
        clusters.append(Cluster(_clipped(place.name, width), place.total, x, cells))
        x += width + GAP
    return clusters, x


def _cell(hexagon: Hexagon, at: int, columns: int, x: int) -> Cell:
    row, column = divmod(at, columns)
    left = x + column * WIDTH + (WIDTH // 2 if row % 2 else 0)
    return Cell(hexagon.look, left, LABEL + row * RISE)


def _clipped(name: str, width: int) -> str:
    most = max(width // LETTER - 4, 3)
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _bar(found: Map, place: Place, longest: int) -> Bar:
    parts, start = [], 0.0
    for group, count in zip(found.groups, place.cells, strict=True):
        width = round(100 * count / longest, 2)
        parts.append(Part(group.tone, round(start, 2), width))
        start += width
    return Bar(place, parts)
