"""The price book: what admins say models cost, over the list's prices. Every edition stays on record.

Each process has the latest in memory, at most two seconds old: pricing a call asks nobody.
"""

import threading
import time
from decimal import Decimal, InvalidOperation

from django.conf import settings
from django.db import transaction

from budgets import prices
from budgets.errors import UnknownPrice
from budgets.models import PriceOverride
from budgets.money import MICROS
from budgets.prices import Price
from events import actions as events
from projects.errors import Conflict, Invalid
from projects.models import User

REFRESH_SECONDS = 2.0
NAMES = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "web_search")
PROVIDERS = ("anthropic", "openai")
SOURCES = ("book", "settings", "list", "invented", "ceiling")
_REQUIRED = ("input", "output")

_lock = threading.Lock()
_read_at = float("-inf")


def stale() -> bool:
    return time.monotonic() - _read_at > REFRESH_SECONDS


def refresh(*, now: bool = False) -> None:
    """Read the book again if it is old, or `now`. This is a query: in a thread, where there is an event loop."""
    global _read_at
    # While another thread is reading, the old edition is good enough; before the first time there is none.
    if not (now or stale()) or not _lock.acquire(blocking=now or _read_at == float("-inf")):
        return
    try:
        if now or stale():
            prices.use(_edition())
            _read_at = time.monotonic()
    finally:
        _lock.release()


@transaction.atomic
def enter(model: str, rates: dict[str, str], *, by: User, note: str = "") -> PriceOverride:
    """From now on `model` costs this: units of currency per million tokens (searches per million), as decimal texts.

    What is not named costs as much as what it is a kind of. Raises `Invalid`.
    """
    if not model.strip() or len(model) > 100:
        raise Invalid("Say which model: a name of at most 100 characters.")
    checked = {name: _rate(name, value) for name, value in rates.items() if value not in ("", None)}
    if missing := [name for name in _REQUIRED if name not in checked]:
        raise Invalid(f"A price needs {' and '.join(missing)} per million tokens.")
    return _append(model, checked, by, note)


@transaction.atomic
def withdraw(model: str, *, by: User, note: str = "") -> PriceOverride:
    """From now on the list's price counts again."""
    if model not in {page.model for page in current()}:
        raise Conflict(f"The price book says nothing of {model!r}.")
    return _append(model, {}, by, note, withdrawn=True)


def current() -> list[PriceOverride]:
    """What the book says now, one page per model."""
    latest = PriceOverride.objects.order_by("model", "-id").distinct("model")
    return [page for page in latest if not page.withdrawn]


def price_of(model: str) -> Price:
    """Today's price, of whichever provider lists the model. Raises `UnknownPrice`."""
    found, unknown = [], None
    for provider in PROVIDERS:
        try:
            found.append(prices.price_of(model, provider=provider))
        except UnknownPrice as error:
            unknown = unknown or error
    if unknown and not found:
        raise unknown
    return min(found, key=_is_ceiling)  # which is what every provider has that does not know the model


def source_of(price: Price) -> str:
    """Where the price comes from: one of `SOURCES`, as `prices.price_of` looks for it."""
    entered = {"book": {page.model for page in current()}, "settings": set(settings.PRICE_OVERRIDES)}
    for source, names in entered.items():
        if any(prices.entered_as(price.model, provider, names) for provider in PROVIDERS):
            return source
    if price.model == prices.OFFLINE_MODEL:
        return "invented"
    return "ceiling" if _is_ceiling(price) else "list"


def _is_ceiling(price: Price) -> bool:
    return price.version.endswith("+ ceiling")


def typed(rate: int) -> str:
    """A rate as it is entered: `0.3`."""
    return format((Decimal(rate) / MICROS).normalize(), "f")


def _append(
    model: str, rates: dict[str, str], by: User, note: str, *, withdrawn: bool = False
) -> PriceOverride:
    page = PriceOverride.objects.create(
        model=model, prices=rates, withdrawn=withdrawn, note=note[:200], actor=by.username
    )
    kind = "price.withdrawn" if withdrawn else "price.entered"
    events.record(kind, subject=f"price:{page.pk}", by=by.username, model=model, prices=rates)
    transaction.on_commit(lambda: refresh(now=True))
    return page


def _rate(name: str, value: str) -> str:
    if name not in NAMES:
        raise Invalid(f"There is no price for {name!r}; there are {', '.join(NAMES)}.")
    try:
        rate = Decimal(str(value))
    except InvalidOperation:
        raise Invalid(f"{name}: {value!r} is not a price; write it like 3 or 0.30.") from None
    if not rate.is_finite() or not 0 <= rate <= 1_000_000 or rate != round(rate, 6):
        raise Invalid(f"{name}: {value!r} is not a price from 0 to 1,000,000 with at most six decimals.")
    return format(rate.normalize(), "f")


def _edition() -> prices.Book:
    pages = current()
    newest = PriceOverride.objects.order_by("-id").values_list("pk", flat=True).first()
    return prices.Book(f"book {newest}" if newest else "", {page.model: page.prices for page in pages})
