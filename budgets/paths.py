"""How much may be used in the cycles ahead: simulated paths from the cycles of the past. Numbers only; no times.

A Bayesian block bootstrap. A block is a whole cycle (a day of hours, or ten minutes of minutes), so that bursts and
the time of day stay as they were; weekends are drawn from weekends. Each path first gives the past cycles random
weights (Rubin, The Bayesian Bootstrap, 1981), which brings in how little a short history says about the average;
recent cycles weigh more. A trend is followed as far as it stands out of the noise, and the level may drift.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

PATHS = 300
HALF_LIFE = 14.0  # cycles after which one counts half
# How far the future may differ from the past, as standard deviations of logarithms.
GROWTH = 0.015  # of the trend, per cycle
UNSURE = 0.4  # of the level, for one cycle of history; less with the root of their number
STEP = 0.03  # of the level, from one cycle to the next
CYCLES_MAX = 28  # that are looked back upon, and that a trend is thought to go on for

# By its number, each past cycle as running totals by slot: the first is 0, the last what it used in all.
Pool = dict[int, list[float]]
Stretch = tuple[int, float, float]  # the number of a cycle, and from where to where in it, in slots


@dataclass(frozen=True, slots=True)
class Cycle:
    """The block that repeats: `slots` of `seconds` each. `weekly` ones know weekends."""

    name: str
    slots: int
    seconds: int
    weekly: bool = False


DAYS = Cycle("full days", 24, 3600, weekly=True)
TEN_MINUTES = Cycle("full spans of ten minutes", 10, 60)


@dataclass(frozen=True, slots=True)
class _Trend:
    """Growth per cycle, as a logarithm: how likely which is, and since which cycle it would have to be counted."""

    slope: float
    doubt: float
    centre: float


def simulate(pool: Pool, stretches: list[Stretch], cycle: Cycle) -> Iterator[list[float]]:
    """Paths of what is used in each stretch. Stretches of one cycle are taken from one cycle of the past."""
    chance = random.Random(repr((sorted(pool.items()), stretches)))
    ahead = sorted({number for number, _, _ in stretches})
    trend = _trend(pool, cycle)
    for _ in range(PATHS):
        drawn = _draw(pool, ahead, cycle, chance)
        levels = _levels(pool, ahead, trend, chance)
        yield [levels[number] * _used(drawn[number], start, end) for number, start, end in stretches]


def _draw(pool: Pool, ahead: list[int], cycle: Cycle, chance: random.Random) -> Pool:
    """For each cycle ahead one of the past. Weekends not yet seen may be anything up to a working day."""
    weights = {number: chance.expovariate(1.0) * recency for number, recency in _recency(pool).items()}
    drawn: Pool = {}
    for kind in sorted({_weekend(number, cycle) for number in ahead}):
        places = [number for number in ahead if _weekend(number, cycle) == kind]
        like = [number for number in pool if _weekend(number, cycle) == kind]
        choice = like if len(like) >= 2 else list(pool)
        part = chance.random() if kind and len(like) < 2 else 1.0
        picks = chance.choices(choice, [weights[number] for number in choice], k=len(places))
        for place, pick in zip(places, picks, strict=True):
            drawn[place] = [part * total for total in pool[pick]]
    return drawn


def _recency(pool: Pool) -> dict[int, float]:
    newest = max(pool)
    return {number: 0.5 ** ((newest - number) / HALF_LIFE) for number in pool}


def _trend(pool: Pool, cycle: Cycle) -> _Trend:
    """The growth between the two halves of the past, believed as far as it stands out of their noise.

    It is the posterior of a normal with the prior N(0, GROWTH²): a short or restless past says nothing of growth.
    """
    recency = _recency(pool)
    centre = sum(number * weight for number, weight in recency.items()) / sum(recency.values())
    relative = _relative(pool, cycle)
    half = len(relative) // 2
    older, newer = sum(relative[:half]), sum(relative[-half:])
    if min(older, newer) <= 0:
        return _Trend(0.0, GROWTH, centre)
    between = len(relative) - half
    spread = sum((one - 1.0) ** 2 for one in relative) / (len(relative) - 1)
    noise = (2 * (spread + 0.05) / half) / between**2
    believed = GROWTH**2 / (GROWTH**2 + noise)
    return _Trend(believed * math.log(newer / older) / between, math.sqrt(believed * noise), centre)


def _relative(pool: Pool, cycle: Cycle) -> list[float]:
    """Each cycle's total by the mean of its kind, oldest first."""
    totals: dict[bool, list[float]] = {False: [], True: []}
    for number, cycle_totals in pool.items():
        totals[_weekend(number, cycle)].append(cycle_totals[-1])
    means = {kind: sum(found) / len(found) for kind, found in totals.items() if found}
    return [pool[number][-1] / (means[_weekend(number, cycle)] or 1.0) for number in sorted(pool)]


def _levels(pool: Pool, ahead: list[int], trend: _Trend, chance: random.Random) -> dict[int, float]:
    """How much more or less than in the past is used in each cycle ahead: the trend, and a walk around it."""
    level = chance.gauss(0.0, UNSURE / math.sqrt(len(pool)))
    slope, newest = chance.gauss(trend.slope, trend.doubt), max(pool)
    levels = {}
    for number in ahead:
        reach = newest - trend.centre + min(number - newest, CYCLES_MAX)
        levels[number] = math.exp(level + slope * reach)
        level += chance.gauss(0.0, STEP)
    return levels


def _used(totals: list[float], start: float, end: float) -> float:
    return _total(totals, end) - _total(totals, start)


def _total(totals: list[float], slot: float) -> float:
    whole = int(slot)
    if whole >= len(totals) - 1:
        return totals[-1]
    return totals[whole] + (totals[whole + 1] - totals[whole]) * (slot - whole)


def _weekend(number: int, cycle: Cycle) -> bool:
    return cycle.weekly and (number + 3) % 7 >= 5  # day 0 was a Thursday
