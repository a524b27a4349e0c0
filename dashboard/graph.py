"""The gutter beside a tree of checkpoints: which lanes pass which row, and where they go off. Pure layout.

Rows come newest first. A lane takes the leftmost free column at its newest row and keeps it down to the row that it
goes off from; lines are drawn in halves of a row, so that rows may have any height.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from checkpoints.reading.tree import Fold, Lane, Node

COLUMN = 18  # pixels
COLUMNS_MAX = 12  # lines of more than that nobody can follow, and they leave no room for words


@dataclass(frozen=True, slots=True)
class Row:
    """A checkpoint, or a fold of several, and the lines beside it; columns are counted from the left."""

    item: Node | Fold
    column: int
    above: bool  # its lane goes on, newer
    below: bool  # and older
    passing: tuple[int, ...]  # other lanes that go by
    begun: tuple[int, ...]  # columns of the lanes that go off here

    @property
    def folded(self) -> bool:
        return isinstance(self.item, Fold)

    @property
    def x(self) -> int:
        return _x(self.column)

    @property
    def passing_x(self) -> list[int]:
        return [_x(column) for column in self.passing]

    @property
    def begun_x(self) -> list[int]:
        return [_x(column) for column in self.begun]


@dataclass
class _Columns:
    """Which lane has which column, and what the lanes that have begun still wait to go off from."""

    taken: dict[str, int] = field(default_factory=dict)
    awaiting: dict[str, str | None] = field(default_factory=dict)

    def give(self, lane: str) -> int:
        if lane not in self.taken:
            used = set(self.taken.values())
            self.taken[lane] = next(column for column in range(len(used) + 1) if column not in used)
        return self.taken[lane]

    def going_off_at(self, handle: str) -> list[int]:
        """The columns of the lanes that begin there, which are free from then on."""
        return sorted(self._free(lane) for lane, parent in list(self.awaiting.items()) if parent == handle)

    def end(self, lane: str) -> None:
        """Nothing is before it."""
        self.awaiting[lane] = None
        self._free(lane)

    def _free(self, lane: str) -> int:
        del self.awaiting[lane]
        return self.taken.pop(lane)


def rows(nodes: Iterable[Node], folds: Iterable[Fold], lanes: Iterable[Lane]) -> list[Row]:
    """The rows of a page of the tree, newest first."""
    items: list[Node | Fold] = [*nodes, *folds]
    items.sort(key=_when, reverse=True)
    return list(_rows(items, {lane.name: lane for lane in lanes}))


def width(found: Iterable[Row]) -> int:
    """Of the gutter, in pixels; 0 where there are too many lanes to draw."""
    last = max((column for row in found for column in (row.column, *row.passing, *row.begun)), default=0)
    return _x(last) + 9 if last < COLUMNS_MAX else 0


def _rows(items: Iterable[Node | Fold], lanes: dict[str, Lane]) -> Iterator[Row]:
    columns = _Columns()
    for item in items:
        above = item.lane in columns.taken
        begun = columns.going_off_at(item.handle) if isinstance(item, Node) else []
        column = columns.give(item.lane)
        passing = tuple(sorted(taken for lane, taken in columns.taken.items() if lane != item.lane))
        below = _goes_on(item, lanes, columns)
        yield Row(item, column, above, below, passing, tuple(begun))


def _goes_on(item: Node | Fold, lanes: dict[str, Lane], columns: _Columns) -> bool:
    """Whether anything is before it; a lane's first waits for the row that it goes off from."""
    if isinstance(item, Fold) or item.handle != item.lane:
        return True
    parent = lanes[item.lane].forks_at
    if parent is None:
        columns.end(item.lane)
        return False
    columns.awaiting[item.lane] = parent
    return True


def _when(item: Node | Fold) -> tuple[datetime, int]:
    return item.created_at, item.number if isinstance(item, Node) else 0


def _x(column: int) -> int:
    return 9 + COLUMN * column
