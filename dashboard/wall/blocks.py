"""The blocks that a screen can be made of, in the order in which a view shows them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dashboard.wall import counts, happenings, health, hexagons, money
from dashboard.wall.sight import Sight


@dataclass(frozen=True)
class Block:
    """`draw` reads what `template` shows. Wide ones get most of the room, and `strip` a line of its own."""

    name: str
    title: str
    hint: str
    draw: Callable[[Sight], Any]
    wide: bool = False
    strip: bool = False

    @property
    def template(self) -> str:
        return f"wall/_{self.name}.html"


BLOCKS = {
    block.name: block
    for block in (
        Block(
            "counts",
            "Counts",
            "Running, waiting for a person, failed, spent today",
            counts.counts,
            strip=True,
        ),
        Block("map", "Fleet map", "Every machine by node and state", hexagons.draw, wide=True),
        Block("waiting", "Waiting for a person", "The machines that wait longest", counts.waiting),
        Block("budgets", "Budgets", "The limits that are fullest", money.limits),
        Block("burn", "Spending by hour", "The last 24 hours", money.burn),
        Block("events", "Latest events", "What happened to machines; no names of people", happenings.latest),
        Block("health", "Health", "Nodes, and autovibe's own processes", lambda sight: health.nodes()),
        Block("clock", "Clock", "The time, as large as it fits", lambda sight: None, wide=True),
    )
}
