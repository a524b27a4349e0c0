"""What charts have in common: scales from data to the units of an SVG's viewBox, and round amounts to mark."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from budgets.resources import Resource, unit_of

Scale = Callable[[float], float]


@dataclass(frozen=True)
class Tick:
    """A mark of an axis."""

    at: float
    text: str


def onto(low: float, high: float, start: float, stop: float) -> Scale:
    """From data to the viewBox; one decimal is as fine as it shows."""
    span = (high - low) or 1
    return lambda value: round(start + (value - low) / span * (stop - start), 1)


def marks(top: int, resource: str) -> tuple[int, int]:
    """The step between marks of the amount axis, and where it ends: at a round amount, four or five steps up."""
    whole = 3600 if resource in (Resource.WALL, Resource.CPU) else unit_of(resource)
    rough = max(top, 1) / whole / 4
    power = 10.0 ** math.floor(math.log10(rough))
    nice = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    step = max(1, round(nice * whole))
    return step, step * max(1, -(-top // step))


def points(found: Iterable[tuple[float, float]]) -> str:
    """As a `points` attribute has them."""
    return " ".join(f"{x},{y}" for x, y in found)
