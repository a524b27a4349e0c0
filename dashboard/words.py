"""Amounts and times as people read them. `static/js/live.js` words ticking times in the same way."""

from datetime import datetime, timedelta

from django.utils import timezone

from budgets.money import MICROS

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "CHF": "CHF\N{NO-BREAK SPACE}"}
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
    units, rest = divmod(abs(micros), MICROS)
    return f"{sign}{symbol}{units:,}.{rest // smallest:0{places}d}"


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


def ago(at: datetime, now: datetime | None = None) -> str:
    """`3 min ago` within a day, then `21 Nov, 14:02`."""
    age = (now or timezone.now()) - at
    seconds = max(int(age.total_seconds()), 0)
    if age >= timedelta(days=1):
        return f"{at.day} {at:%b, %H:%M}"
    if seconds >= 3600:
        return f"{seconds // 3600} h ago"
    return f"{seconds // 60} min ago" if seconds >= 60 else f"{seconds} s ago"


def milliseconds(amount: int | None) -> str:
    """`640 ms`, `2.4 s`, `1 min 20 s`; a dash for unknown."""
    if amount is None:
        return "–"
    if amount < 1000:
        return f"{amount} ms"
    return f"{amount / 1000:.1f} s" if amount < 60_000 else elapsed(amount / 1000)


def size(amount: float) -> str:
    """`38 B`, `1.2 MB`; powers of 1000."""
    for unit in _SIZES:
        if amount < 1000 or unit == _SIZES[-1]:
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def tokens(amount: int) -> str:
    """`212k`, `1.3M`; small numbers as they are."""
    if amount < 10_000:
        return f"{amount:,}"
    return f"{amount / 1000:.0f}k" if amount < 1_000_000 else f"{amount / 1_000_000:.1f}M"
