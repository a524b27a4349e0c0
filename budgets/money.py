"""Micro-units of a currency, to and from what people read and write. No floats."""

from decimal import Decimal, InvalidOperation

from projects.errors import Invalid

MICROS = 1_000_000


def show(micros: int, currency: str) -> str:
    """`5.00 USD`; more decimals only where they say something: `0.0012 USD`."""
    sign = "-" if micros < 0 else ""
    units, rest = divmod(abs(micros), MICROS)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{units}.{decimals} {currency}"


def parse(text: str) -> int:
    """Micro-units from `10` or `2.50`. Raises `Invalid` for anything else, and for less than a micro-unit."""
    try:
        micros = Decimal(text) * MICROS
        whole = int(micros)
    except (InvalidOperation, ValueError, OverflowError):
        raise Invalid(f"{text!r} is not an amount; write 10 or 2.50.") from None
    if micros != whole or not 0 <= whole < 2**63:
        raise Invalid(f"{text!r} is not an amount from 0 up with at most six decimals.")
    return whole
