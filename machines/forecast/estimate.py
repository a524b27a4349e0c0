"""From figures of like machines to a range for the next one. Plain functions; no models."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z = 1.2816  # one of ten is further out than so many standard deviations, on either side
MARGIN = 0.05  # in logarithms: no two runs are quite the same
# Limits are rounded up to one of these, times a power of ten.
ROUND = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True, slots=True)
class Range:
    """Of ten machines, eight are expected between `low` and `high`, and one of twenty above `most`."""

    low: int
    middle: int
    high: int
    most: int


def estimate(figures: Sequence[tuple[float, int]]) -> Range:
    """Weighted quantiles of (weight, figure), on a log scale, moved apart where few machines speak for them.

    Apart by as much as the quantiles of Student's distribution are further out than the normal's (Cornish and
    Fisher's expansion), with the machines counted by their weights (Kish's effective number).
    """
    ordered = sorted((math.log1p(max(figure, 0)), weight) for weight, figure in figures)
    weights = [weight for _, weight in ordered]
    whole = math.fsum(weights)
    number = whole * whole / math.fsum(weight * weight for weight in weights)
    freedom = max(number - 1, 1.0)
    apart = math.sqrt(1 + 1 / number) * (1 + (Z * Z + 1) / (4 * freedom))
    middle = quantile(ordered, 0.5)

    def at(part: float, sign: int) -> int:
        moved = middle + (quantile(ordered, part) - middle) * apart + sign * MARGIN
        return round(math.expm1(max(moved, 0.0)))

    return Range(at(0.1, -1), at(0.5, 0), at(0.9, 1), at(0.95, 1))


def quantile(ordered: Sequence[tuple[float, float]], part: float) -> float:
    """Of sorted (value, weight): where `part` of the weight is below, each value standing in its weight's middle."""
    target, below = part * sum(weight for _, weight in ordered), 0.0
    before = (0.0, ordered[0][0])
    for value, weight in ordered:
        place = below + weight / 2
        if place >= target:
            share = (target - before[0]) / (place - before[0]) if place > before[0] else 1.0
            return before[1] + (value - before[1]) * share
        before, below = (place, value), below + weight
    return ordered[-1][0]


def rounded_up(amount: int) -> int:
    """The next round figure: 1.5, 2, 2.5, 3 … of the amount's own size."""
    power: int = 10 ** (len(str(max(amount, 1))) - 1)
    return next(math.ceil(step * power) for step in ROUND if step * power >= amount)
