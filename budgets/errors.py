"""Refusals that have to do with money."""

from projects.errors import Refusal


class Exhausted(Refusal):
    """A budget does not have what this needs."""

    status = 402
    type = "budget-exhausted"


class UnknownPrice(Refusal):
    """Nobody knows what this would cost, so it is not done."""

    status = 400
    type = "unknown-price"
