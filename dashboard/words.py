"""Amounts and times as people read them. `static/js/live.js` words ticking times in the same way."""

from datetime import datetime, timedelta

from django.utils import timezone

from budgets.money import MICROS
from budgets.money import show as exact
from budgets.resources import GB_HOUR, Period, Resource
from checkpoints.models import Checkpoint

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "CHF": "CHF\N{NO-BREAK SPACE}"}
RESOURCES: dict[str, str] = {
    Resource.MONEY: "Money",
    Resource.TOKENS: "Tokens",
    Resource.INPUT_TOKENS: "New input tokens",
    Resource.CACHED_TOKENS: "Cached tokens",
    Resource.OUTPUT_TOKENS: "Output tokens",
    Resource.CALLS: "Model calls",
    Resource.WALL: "Wall time",
    Resource.CPU: "CPU time",
    Resource.MEMORY: "Memory",
    Resource.STORAGE: "Storage",
    Resource.NETWORK: "Network",
}
PERIODS: dict[str, str] = {
    Period.TOTAL: "for good",
    Period.MINUTE: "a minute",
    Period.HOUR: "an hour",
    Period.DAY: "a day",
    Period.WEEK: "a week",
    Period.MONTH: "a month",
}
TRIGGERS: dict[str, str] = {  # what a checkpoint was taken for
    Checkpoint.Trigger.GENESIS: "the beginning",
    Checkpoint.Trigger.CALL: "a model call",
    Checkpoint.Trigger.MINUTES: "the time that had passed",
    Checkpoint.Trigger.BUDGET: "a share of a budget that was used up",
    Checkpoint.Trigger.RISK: "a tool that may do harm",
    Checkpoint.Trigger.FILES: "a tool that changed files",
    Checkpoint.Trigger.REQUEST: "somebody who asked",
    Checkpoint.Trigger.PAUSE: "a pause",
    Checkpoint.Trigger.RETURN: "a return that followed",
    Checkpoint.Trigger.END: "the end of its machine",
}
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_SIZES = ("B", "kB", "MB", "GB", "TB")


def money(micros: int, currency: str = "USD", places: int = 2) -> str:
    """`$1.84`; what is less than the last place but not nothing is `<$0.01`. Exact figures belong in titles."""
    symbol = SYMBOLS.get(currency, f"{currency}\N{NO-BREAK SPACE}")
    sign, smallest = ("−" if micros < 0 else ""), MICROS // 10**places
    if 0 < abs(micros) < smallest:
        return f"<{symbol}{smallest / MICROS:.{places}f}"
    if not micros:
        return f"{symbol}0.00"
    units, rest = divmod((abs(micros) + smallest // 2) // smallest, 10**places)
    return f"{sign}{symbol}{units:,}.{rest:0{places}d}"


def price(micros: int, currency: str = "USD") -> str:
    """`$15.00`, `$0.125`: with as many decimals as say something."""
    symbol = SYMBOLS.get(currency, f"{currency}\N{NO-BREAK SPACE}")
    return f"{symbol}{exact(micros, '').strip()}"


def elapsed(seconds: float) -> str:
    """`5 min 20 s`, `4 h 41 min`: the largest unit and the next."""
    left = max(int(seconds), 0)
    first = next((at for at, (_, size) in enumerate(_UNITS) if left >= size), len(_UNITS) - 1)
    words: list[str] = []
    for unit, size in _UNITS[first : first + 2]:
        amount, left = divmod(left, size)
        if amount or not words:
            words.append(f"{amount} {unit}")
    return " ".join(words)


def here(at: datetime) -> datetime:
    """That time in the zone of whoever looks; in its own where the calendar ends on the way."""
    try:
        return timezone.localtime(at)
    except OverflowError:
        return at


def ago(at: datetime, now: datetime | None = None) -> str:
    """`3 min ago` within a day, then `21 Nov, 14:02` in the zone of whoever looks."""
    age = (now or timezone.now()) - at
    at = here(at)
    seconds = max(int(age.total_seconds()), 0)
    if age >= timedelta(days=1):
        return f"{at.day} {at:%b, %H:%M}"
    if seconds >= 3600:
        return f"{seconds // 3600} h ago"
    return f"{seconds // 60} min ago" if seconds >= 60 else f"{seconds} s ago"


def clock(at: datetime, now: datetime | None = None) -> str:
    """`14:02:11` today, `21 Nov 14:02:11` on another day, in the zone of whoever looks."""
    at, now = here(at), timezone.localtime(now)
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%d %b %H:%M:%S}"


def stamp(at: datetime) -> str:
    """`2026-11-21 14:02:11 CET`: all of it, for titles and for records."""
    return f"{here(at):%Y-%m-%d %H:%M:%S %Z}"


def milliseconds(amount: int | None) -> str:
    """`640 ms`, `2.4 s`, `1 min 20 s`; a dash for unknown."""
    if amount is None:
        return "–"
    if amount < 1000:
        return f"{amount} ms"
    return f"{amount / 1000:.1f} s" if amount < 60_000 else elapsed(amount / 1000)


def lasted(seconds: float | None) -> str:
    """The same of seconds; "" for unknown."""
    return "" if seconds is None else milliseconds(round(seconds * 1000))


def size(amount: float) -> str:
    """`38 B`, `1.2 MB`; powers of 1000."""
    for unit in _SIZES:
        if amount < 1000 or unit == _SIZES[-1]:
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def growth(amount: int) -> str:
    """`+1.2 MB`, `−300 B`"""
    return f"{'−' if amount < 0 else '+'}{size(abs(amount))}"


def tokens(amount: int) -> str:
    """`212k`, `1.3M`; small numbers as they are."""
    if amount < 10_000:
        return f"{amount:,}"
    return f"{amount / 1000:.0f}k" if amount < 1_000_000 else f"{amount / 1_000_000:.1f}M"


def amount(quantity: int, resource: str, currency: str = "USD") -> str:
    """A quantity of any resource, rounded to read: `$1.84`, `212k`, `4 h 41 min`, `12.5 GB-h`, `1.2 GB`."""
    if resource == Resource.MONEY:
        return money(quantity, currency)
    if resource in (Resource.WALL, Resource.CPU):
        return elapsed(quantity)
    if resource in (Resource.MEMORY, Resource.STORAGE):
        hours = quantity / GB_HOUR
        return f"{hours:,.0f} GB-h" if hours >= 100 or not quantity else f"{hours:,.2f} GB-h"
    if resource == Resource.NETWORK:
        return size(quantity)
    return f"{quantity:,}" if resource == Resource.CALLS else tokens(quantity)


def day(at: datetime, now: datetime | None = None) -> str:
    """`14:05` today, `27 November` this year and the next months, `3 March 2028` beyond."""
    now = now or timezone.now().astimezone(at.tzinfo)
    if at.date() == now.date():
        return f"{at:%H:%M} today"
    return f"{at.day} {at:%B}" if abs(at - now) < timedelta(days=180) else f"{at.day} {at:%B %Y}"
