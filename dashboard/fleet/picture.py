"""The fleet map: a hexagon for each machine that is there, by node or by project; beyond a number of them, counts."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from django.db.models import Count, Q
from django.utils import timezone

from dashboard import look, needs
from dashboard.fleet.groups import GROUPS, Group
from dashboard.look import Look
from machines.limits.enforce import SILENT_AFTER
from machines.models import MachineQuerySet
from machines.room import Cluster, Room
from machines.states import LIVE, State

HEXAGONS_MAX = 400
PER_COLUMN = 4  # they lie in columns of so many, which flow to any width
WIDTH, RISE = 30, 26  # between the middles of two beside, and of two above each other
SILENT = "silent"
LOOKS: dict[str, Look] = {**look.MACHINES, SILENT: Look("warn", "question")}
KEYS = {"": "guest__node", "project": "project__slug"}


class Hexagon(NamedTuple):
    """`look` is a key of `LOOKS`; `x` and `y` are its place in its column."""

    handle: str
    look: str
    title: str
    x: int
    y: int


@dataclass(frozen=True)
class Place:
    """A node, with its room for more, or a project."""

    name: str
    counts: Counter[str]  # by state
    columns: list[list[Hexagon]]
    room: Room | None = None

    @property
    def total(self) -> int:
        return self.counts.total()

    @property
    def cells(self) -> list[int]:
        """In the order of `Map.groups`."""
        return [group.count(self.counts) for group in _SHOWN]


@dataclass(frozen=True)
class Map:
    """All places; `drawn` is false where there are too many machines to draw each."""

    places: list[Place]
    grouping: str

    @property
    def drawn(self) -> bool:
        return any(place.columns for place in self.places)

    @property
    def groups(self) -> tuple[Group, ...]:
        return _SHOWN

    @property
    def looks(self) -> list[tuple[str, Look]]:
        """Those that occur, to be drawn once each."""
        used = {hexagon.look for place in self.places for column in place.columns for hexagon in column}
        return [(name, found) for name, found in LOOKS.items() if name in used]

    @property
    def sentence(self) -> str:
        """What it shows, in words."""
        counts = sum((place.counts for place in self.places), Counter[str]())
        told = [f"{group.count(counts)} {_word(group)}" for group in _SHOWN if group.count(counts)]
        many = len(self.places)
        where = "in {} project" if self.grouping else "on {} node"
        return f"{', '.join(told)} {where.format(many)}{'' if many == 1 else 's'}."


# Of those that ended, only what is about to is on the map.
_SHOWN = tuple(replace(group, name="Ending") if group.key == "ended" else group for group in GROUPS)


def _word(group: Group) -> str:
    return "failed within a day" if State.FAILED in group.states else group.name.lower()


def of(machines: MachineQuerySet, grouping: str, rooms: Cluster | None = None) -> Map:
    """Of those that have not ended, and what failed within the day. One query; one more where they are too many.

    `rooms` says how many more each node bears.
    """
    places = _places(machines, grouping)
    if rooms and not grouping:
        places = [replace(place, room=rooms.on(place.name)) for place in places]
    return Map(places, grouping)


def _places(machines: MachineQuerySet, grouping: str) -> list[Place]:
    key = KEYS[grouping]
    fresh = timezone.now() - needs.FAILURE_FRESH_FOR
    there = machines.filter(Q(state__in=LIVE) | Q(state=State.FAILED, ended_at__gt=fresh))
    columns = there.order_by(key, "number").values_list(key, "number", "state", "heard_at", "project__slug")
    found = list(columns[: HEXAGONS_MAX + 1])
    if len(found) > HEXAGONS_MAX:
        return _counted(there, key)
    return [_place(name, rows) for name, rows in groupby(found, lambda row: row[0])]


def _place(name: str, rows: Iterable[tuple[str, int, str, datetime | None, str]]) -> Place:
    listed = list(rows)
    columns = [
        [_hexagon(at, *row[1:]) for at, row in enumerate(listed[first : first + PER_COLUMN])]
        for first in range(0, len(listed), PER_COLUMN)
    ]
    return Place(name, Counter(row[2] for row in listed), columns)


def _hexagon(at: int, number: int, state: str, heard: datetime | None, project: str) -> Hexagon:
    silent = state == State.RUNNING and heard is not None and timezone.now() - heard > SILENT_AFTER
    word = "silent" if silent else State(state).label.lower()
    return Hexagon(
        f"m{number}",
        SILENT if silent else state,
        f"m{number}: {word}, {project}",
        WIDTH // 2 * (at % 2),
        RISE * at,
    )


def _counted(machines: MachineQuerySet, key: str) -> list[Place]:
    found = machines.order_by(key).values_list(key, "state").annotate(Count("pk"))
    places: dict[str, Counter[str]] = {}
    for name, state, number in found:
        places.setdefault(name, Counter())[state] = number
    return [Place(name, counts, []) for name, counts in places.items()]
