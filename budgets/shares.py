"""How an amount is divided among several who want some of it. Numbers only; what they stand for is in `sharing`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Claim:
    """Whoever has no weight wants nothing; `used` is what it has already, and is never taken away."""

    key: UUID
    weight: Fraction
    used: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """`bound` says why it is not just the weight's part: "used", "least", "most", or "" for none of its own."""

    amount: int
    bound: str = ""


def divide(
    amount: int, claims: Sequence[Claim], *, least: Fraction = Fraction(0), most: Fraction = Fraction(1)
) -> dict[UUID, Share]:
    """Divide `amount` by weight, each part between `least` and `most` of it. The parts add up to it exactly.

    A `least` or `most` that cannot hold for all gives way: to equal parts, and to what is used. Only where more is used
    than there is, do the parts add up to that; and to less where nobody wants any.
    """
    wanting = [claim for claim in claims if claim.weight]
    if not wanting or sum(claim.used for claim in claims) >= amount:
        return {claim.key: Share(claim.used, "used" if claim.used else "") for claim in claims}
    lows, highs = _bounds(amount, claims, wanting, least, most)
    parts = _rounded(amount, _filled(amount, claims, lows, highs))
    per = Fraction(amount) / sum(claim.weight for claim in claims)
    return {
        claim.key: Share(
            part, _why(part, per * claim.weight, claim.used, (lows[claim.key], highs[claim.key]))
        )
        for claim, part in ((claim, parts[claim.key]) for claim in claims)
    }


def _bounds(
    amount: int, claims: Sequence[Claim], wanting: Sequence[Claim], least: Fraction, most: Fraction
) -> tuple[dict[UUID, int], dict[UUID, int]]:
    """The least and the most that each can get."""
    used = {claim.key: claim.used for claim in claims}
    low = min(floor(least * amount), amount // len(wanting))
    lows = used | {claim.key: max(claim.used, low) for claim in wanting}
    if sum(lows.values()) > amount:
        lows = used
    high = max(ceil(most * amount), ceil(Fraction(amount, len(wanting))))
    return lows, used | {claim.key: max(high, lows[claim.key]) for claim in wanting}


def _filled(
    amount: int, claims: Sequence[Claim], lows: Mapping[UUID, int], highs: Mapping[UUID, int]
) -> dict[UUID, Fraction]:
    """Parts by weight within bounds: in each round those are settled whose bounds are in the way of the others.

    The rule is that of flexible lengths in CSS (Flexbox, 9.7), which ends after at most one round per claim.
    """
    settled = {claim.key: Fraction(lows[claim.key]) for claim in claims if not claim.weight}
    weights = {claim.key: claim.weight for claim in claims if claim.weight}
    while weights:
        rest = amount - sum(settled.values())
        per = rest / sum(weights.values())
        wished = {key: per * weight for key, weight in weights.items()}
        given = {key: min(max(wish, lows[key]), highs[key]) for key, wish in wished.items()}
        excess = sum(given.values()) - rest
        done = [key for key in weights if not excess or (given[key] - wished[key]) * excess > 0]
        for key in done:
            settled[key] = Fraction(given[key])
            del weights[key]
    return settled


def _rounded(amount: int, exact: Mapping[UUID, Fraction]) -> dict[UUID, int]:
    """Whole parts, by the largest remainder."""
    parts = {key: floor(part) for key, part in exact.items()}
    remainders = sorted(exact, key=lambda key: parts[key] - exact[key])
    for key in remainders[: amount - sum(parts.values())]:
        parts[key] += 1
    return parts


def _why(part: int, by_weight: Fraction, used: int, bounds: tuple[int, int]) -> str:
    low, high = bounds
    if part < by_weight - 1:
        return "most" if part == high else ""
    if part > by_weight + 1 and part == low:
        return "used" if part == used else "least"
    return ""
