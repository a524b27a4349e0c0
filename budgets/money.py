"""Micro-units of a currency, to and from what people read and write. No floats."""

import re
from decimal import Decimal

from projects.errors import Invalid

MICROS = 1_000_000
_AMOUNT = re.compile(r"\d{1,13}(\.\d{1,6})?", re.ASCII)


def show(micros: int, currency: str) -> str:
    """`5.00 USD`; more decimals only where they say something: `0.0012 USD`."""
    sign = "-" if micros < 0 else ""
    units, rest = divmod(abs(micros), MICROS)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{units}.{decimals} {currency}"


def parse(text: str) -> int:
    """Micro-units from `10` or `2.50`. Raises `Invalid` for anything else, and for less than a micro-unit."""
    if not _AMOUNT.fullmatch(text) or (micros := int(Decimal(text) * MICROS)) >= 2**63:
        raise Invalid(f"{text!r} is not an amount from 0 up with at most six decimals; write 10 or 2.50.")
    return micros
