"""What people read and write for money, sizes, times and durations. Money is integer micro-units inside."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation

MICROS = 1_000_000
GB_HOUR = 3_600_000  # in megabyte-seconds
RESOURCES = (
    "money", "tokens", "input_tokens", "cached_tokens", "output_tokens", "calls", "wall_seconds", "cpu_seconds",
    "memory_mb_seconds", "storage_mb_seconds", "network_bytes",
)  # fmt: skip
SHORT = {
    "wall": "wall_seconds",
    "cpu": "cpu_seconds",
    "memory": "memory_mb_seconds",
    "storage": "storage_mb_seconds",
    "network": "network_bytes",
}
_PER_UNIT = {"memory_mb_seconds": GB_HOUR, "storage_mb_seconds": GB_HOUR, "network_bytes": 10**9}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def micros(text: str) -> int:
    """Micro-units from `10` or `2.50`. Raises `ArgumentTypeError`."""
    try:
        amount = Decimal(text) * MICROS
        whole = int(amount)
    except (InvalidOperation, ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is not an amount of money; write 10 or 2.50") from None
    if amount != whole or whole < 0:
        raise ArgumentTypeError(f"{text!r} must not be negative, nor have more than six decimals")
    return whole


def count(text: str) -> int:
    """A whole number from `200000` or `200_000`. Raises `ArgumentTypeError`."""
    try:
        number = int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < 0:
        raise ArgumentTypeError(f"{text!r} must not be negative")
    return number


def seconds(text: str) -> int:
    """Seconds from `90`, `90s`, `30m`, `1h30m` or `2d`. Raises `ArgumentTypeError`."""
    if text.isascii() and text.isdigit():
        return int(text)
    if not re.fullmatch(r"([0-9]+[smhd])+", text):
        raise ArgumentTypeError(f"{text!r} is not a duration; write 90s, 30m, 1h30m or 2d")
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([smhd])", text))


def money(amount: int, currency: str) -> str:
    """`5.00 USD`; more decimals only where they say something."""
    units, rest = divmod(abs(amount), MICROS)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if amount < 0 else ''}{units:,}.{decimals} {currency}"


def limit(text: str, resource: str) -> int:
    """An amount of a resource in the API's unit. Raises `ArgumentTypeError`."""
    if resource == "money":
        return micros(text)
    if resource in ("wall_seconds", "cpu_seconds"):
        return seconds(text)
    if resource not in _PER_UNIT:
        return count(text)
    try:
        amount = Decimal(text) * _PER_UNIT[resource]
        whole = int(amount.to_integral_value())
    except (InvalidOperation, ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is not an amount; write 10 or 2.5") from None
    if whole < 0:
        raise ArgumentTypeError(f"{text!r} must not be negative")
    return whole


def quantity(amount: int, resource: str, currency: str) -> str:
    """An amount of a budgeted resource; where its unit is not clear from the resource, with that."""
    if resource == "money":
        return money(amount, currency)
    if resource in ("wall_seconds", "cpu_seconds"):
        return duration(amount)
    if resource in _PER_UNIT:
        unit = "GB" if resource == "network_bytes" else "GB-hours"
        return f"{amount / _PER_UNIT[resource]:,.3f}".rstrip("0").rstrip(".") + f" {unit}"
    return f"{amount:,}"


def size(number: int | None) -> str:
    """`812 B`, `1.2 KiB`, `3.4 MiB`."""
    if number is None:
        return "-"
    value, unit = float(number), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{number} B" if unit == "B" else f"{value:.1f} {unit}"


def duration(total: float) -> str:
    """The two largest units: `45s`, `3m 5s`, `2h 10m`, `4d 1h`."""
    rest, parts = int(max(total, 0)), []
    for unit in "dhms":
        number, rest = divmod(rest, _UNITS[unit])
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2]) or "0s"


def age(stamp: str | None) -> str:
    """How long ago: `3m 5s`."""
    return "-" if stamp is None else duration((datetime.now(timezone.utc) - _parsed(stamp)).total_seconds())


def when(stamp: str | None) -> str:
    """Local time and age: `2031-05-06 07:08:09 (3m 5s ago)`."""
    if stamp is None:
        return "-"
    return f"{_parsed(stamp).astimezone():%Y-%m-%d %H:%M:%S} ({age(stamp)} ago)"


def when_next(stamp: str | None) -> str:
    """Local time of what is ahead: `2031-05-06 07:08`, or a dash."""
    return "-" if stamp is None else minute(stamp)


def minute(stamp: str) -> str:
    """Local time: `2031-05-06 07:08`."""
    return f"{_parsed(stamp).astimezone():%Y-%m-%d %H:%M}"


def _parsed(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00"))
