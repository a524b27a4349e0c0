"""Amounts of any resource as people type them. How they are told is in `budgets.sentences` and `dashboard.words`."""

import re
from decimal import Decimal

from budgets import money
from budgets.limits import LIMIT_MAX
from budgets.resources import Resource, unit_of
from projects.errors import Invalid

_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?")
_NUMBER = re.compile(r"\d{1,19}(\.\d{1,9})?", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,10}(?:\.\d{1,9})?)\s*(min|[smhd])", re.ASCII)

HINTS: dict[str, str] = {
    Resource.MONEY: "Such as 10 or 2.50",
    Resource.MEMORY: "In GB-hours",
    Resource.STORAGE: "In GB-hours",
    Resource.NETWORK: "In GB, both ways together",
    Resource.WALL: "In seconds, or like 1h 30m",
    Resource.CPU: "In seconds, or like 1h 30m",
}


def parse(text: str, resource: str) -> int:
    """What `2.50` (money), `1.5` (GB-hours, GB), `90m` (time) or `200,000` come to. Raises `Invalid`."""
    text = text.strip()
    if _THOUSANDS.fullmatch(text):  # and not the decimal comma of `2,50`
        text = text.replace(",", "")
    if resource == Resource.MONEY:
        return money.parse(text)
    if resource in (Resource.WALL, Resource.CPU) and not text.isdecimal():
        return _seconds(text)
    unit = unit_of(resource)
    if not _NUMBER.fullmatch(text):
        raise Invalid(f"{text!r} is not a number.")
    amount = Decimal(text) * unit
    whole = int(amount.to_integral_value())
    if whole > LIMIT_MAX or (unit == 1 and amount != whole):
        raise Invalid(f"{text!r} is not a {'whole ' if unit == 1 else ''}number from 0 up.")
    return whole


def typed(amount: int, resource: str) -> str:
    """The text that `parse` reads back."""
    unit = unit_of(resource)
    if unit == 1:
        return str(amount)
    text = f"{Decimal(amount) / unit:.9f}".rstrip("0").rstrip(".")
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.ljust(2, '0')}" if resource == Resource.MONEY else text


def _seconds(text: str) -> int:
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip():
        raise Invalid(f"{text!r} is not a time; write 90s, 30m, 1h 30m or 2d.")
    return round(sum(Decimal(number) * _SECONDS[unit] for number, unit in parts))
