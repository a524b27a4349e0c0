"""The context of a screen: its views with their blocks, how old all of it is, and which version shows it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from dashboard import version
from dashboard.models import Screen
from dashboard.wall import health
from dashboard.wall.blocks import BLOCKS, Block
from dashboard.wall.sight import Sight


@dataclass(frozen=True)
class Drawn:
    """A block, and what it shows now."""

    block: Block
    data: Any


@dataclass(frozen=True)
class View:
    """What is shown at the same time: strips over each other, the widest beside the rest."""

    blocks: list[Drawn]

    @property
    def strips(self) -> list[Drawn]:
        return [one for one in self.blocks if one.block.strip]

    @property
    def wide(self) -> list[Drawn]:
        return [one for one in self.blocks if one.block.wide]

    @property
    def side(self) -> list[Drawn]:
        return [one for one in self.blocks if not one.block.wide and not one.block.strip]


def view(screen: Screen) -> dict[str, Any]:
    """Everything that the screen shows. Each block is read once, however many views have it."""
    sight, views = Sight.of(screen), _known(screen.views)
    wanted = {name for names in views for name in names}
    drawn = {name: Drawn(block, block.draw(sight)) for name, block in BLOCKS.items() if name in wanted}
    return {
        "screen": screen,
        "projects": sight.projects,
        "views": [View([drawn[name] for name in names]) for names in views],
        "health": health.look(),
        "at": timezone.now(),
        "version": version.digest(),
    }


def _known(views: Iterable[Iterable[str]]) -> list[list[str]]:
    """In the order of `BLOCKS`, without such blocks as an earlier version may have had."""
    known = [[name for name in BLOCKS if name in set(names)] for names in views]
    return [names for names in known if names]
