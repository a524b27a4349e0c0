"""What models cost: genai-prices' list (it ships inside the package; nothing is fetched), and our overrides.

Prices are micro-units per million tokens, so that one token at 3 USD per million costs 3 micros exactly.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache

import genai_prices
from django.conf import settings
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, TieredPrices

from budgets.errors import UnknownPrice
from budgets.money import MICROS
from budgets.resources import WHOLE, Needs

CURRENCY = "USD"
OFFLINE_MODEL = "autovibe-offline"
# Invented, so that budgets can be seen working without a key. Units of currency per million tokens.
OFFLINE_PRICE = {
    "input": "3",
    "cache_write": "3.75",
    "cache_write_1h": "6",
    "cache_read": "0.30",
    "output": "15",
}


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call consumed. The five token counts do not overlap."""

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0  # kept for five minutes
    cache_write_1h_tokens: int = 0  # kept for an hour, which costs more
    output_tokens: int = 0
    web_searches: int = 0

    @property
    def prompt_tokens(self) -> int:
        return (
            self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.cache_write_1h_tokens
        )


@dataclass(frozen=True, slots=True)
class Rates:
    """Micros per million tokens; `web_search` per million searches."""

    input: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    output: int
    web_search: int = 0

    def dearest_input(self, cache_writes: str) -> int:
        """What a token of the prompt costs at most; `cache_writes` is the dearest kind of those: "", "5m" or "1h"."""
        writes = {"": (), "5m": (self.cache_write,), "1h": (self.cache_write, self.cache_write_1h)}
        return max(self.input, self.cache_read, *writes[cache_writes])


FREE = Rates(0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one model on one day. A tier applies to calls whose prompt is longer than its start."""

    model: str
    version: str
    tiers: tuple[tuple[int, Rates], ...]  # (prompt tokens, rates), ascending; the first starts at 0
    context_window: int | None = None

    def cost_micros(self, usage: Usage) -> int:
        """What `usage` costs, exactly, rounded up to the micro-unit once."""
        rates = self._rates(usage.prompt_tokens)
        millionths = (
            usage.input_tokens * rates.input
            + usage.cache_read_tokens * rates.cache_read
            + usage.cache_write_tokens * rates.cache_write
            + usage.cache_write_1h_tokens * rates.cache_write_1h
            + usage.output_tokens * rates.output
            + usage.web_searches * rates.web_search
        )
        return ceil_micros(millionths)

    def needs(self, input_tokens: int, cache_writes: str = "1h") -> Needs:
        """The most that a call can use, per token of its answer, as `budgets.reserve` takes it.

        `input_tokens` is a bound; each may turn out to be read anew, read from the cache, or written to it for as long
        as `cache_writes` says ("", "5m", "1h").
        """
        read, tiers = input_tokens * WHOLE, self._within_reach(input_tokens)
        dearest = max(rates.dearest_input(cache_writes) for rates in tiers)
        return {
            "money": (input_tokens * dearest, max(rates.output for rates in tiers)),
            "tokens": (read, WHOLE),
            "input_tokens": (read, 0),
            "cached_tokens": (read, 0),
            "output_tokens": (0, WHOLE),
            "calls": (WHOLE, 0),
        }

    @property
    def free(self) -> "Price":
        """The same model where it costs nothing: tokens and calls are counted all the same."""
        return replace(self, version="free of charge", tiers=((0, FREE),))

    def _within_reach(self, prompt_tokens: int) -> list[Rates]:
        return [rates for start, rates in self.tiers if start == 0 or prompt_tokens > start]

    def _rates(self, prompt_tokens: int) -> Rates:
        return self._within_reach(prompt_tokens)[-1]


def ceil_micros(millionths: int) -> int:
    return -(-millionths // MICROS)


def price_of(model: str, *, provider: str = "anthropic") -> Price:
    """Today's price of `model`. Raises `UnknownPrice`: what cannot be priced is not called.

    The price book comes first, then `PRICE_OVERRIDES`, then the list; at last `PRICE_CEILING`, if there is one.
    """
    return _price(model, provider, datetime.now(UTC).date(), version())


def version() -> str:
    """Names the price list, so that a ledger entry says what it was priced with."""
    overrides: Mapping[str, object] = settings.PRICE_OVERRIDES
    digest = hashlib.sha256(json.dumps(overrides, sort_keys=True).encode()).hexdigest()[:8]
    parts = [f"genai-prices {genai_prices.__version__}", digest if overrides else "", _book.edition]
    return " + ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Book:
    """What an admin wrote over the list: prices by model, and what this edition is called."""

    edition: str = ""
    prices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


_book = Book()


def use(book: Book) -> None:
    """From now on, in this process. `budgets.book` sees to it."""
    global _book
    _book = book


@lru_cache(maxsize=512)
def _price(model: str, provider: str, day: date, version: str) -> Price:
    if override := _override(model, provider):
        return _from_override(model, override, version)
    if model == OFFLINE_MODEL:
        return _from_override(model, OFFLINE_PRICE, version)
    try:
        return _from_list(model, provider, day, version)
    except UnknownPrice:
        if ceiling := settings.PRICE_CEILING:
            return _from_override(model, ceiling, f"{version} + ceiling")
        raise


def entered_as(model: str, provider: str, entered: Collection[str]) -> str | None:
    """The name among those `entered` that stands for this model: its own, or another of its names."""
    if model in entered:
        return model
    same = _identity(model, provider)
    return next((name for name in entered if _identity(name, provider) == same), None)


def _override(model: str, provider: str) -> Mapping[str, str] | None:
    entered: dict[str, Mapping[str, str]] = {**settings.PRICE_OVERRIDES, **_book.prices}
    name = entered_as(model, provider, entered)
    return entered[name] if name else None


def _identity(model: str, provider: str) -> str:
    """The list's name for it, or its own where the list does not know it; upper case makes no other model."""
    try:
        return get_snapshot().find_provider_model(model, None, provider, None)[1].id
    except LookupError:
        return model.lower()


def _from_override(model: str, prices: Mapping[str, str], version: str) -> Price:
    """`{"input": "3", "output": "15", …}`, in units per million tokens."""
    try:
        amounts = {
            name: _micros(Decimal(value)) for name, value in prices.items() if name != "context_window"
        }
        window = int(prices["context_window"]) if "context_window" in prices else None
        return Price(model, version, ((0, _complete(amounts.get)),), window)
    except (KeyError, ArithmeticError, ValueError) as error:
        raise UnknownPrice(f"The price entered for {model!r} cannot be read: {error!r}.") from error


def _from_list(model: str, provider: str, day: date, version: str) -> Price:
    try:
        _, found = get_snapshot().find_provider_model(model, None, provider, None)
        listed = found.get_prices(datetime.combine(day, time(12), UTC))
        tiers = tuple((start, _complete(_at(listed, start))) for start in _starts(listed))
    except (LookupError, ValueError):
        raise UnknownPrice(
            f"There is no price for the model {model!r}, so calls to it cannot be kept under a budget. "
            "An admin can enter its price: bin/autovibe price set MODEL --input 3 --output 15 (per million tokens)."
        ) from None
    return Price(model, version, tiers, found.context_window)


# Names of ours, and of genai-prices' ModelPrice.
_LISTED = {
    "input": "input_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "output": "output_mtok",
}


def _starts(listed: ModelPrice) -> list[int]:
    prices = [getattr(listed, name) for name in _LISTED.values()]
    return sorted(
        {0} | {tier.start for price in prices if isinstance(price, TieredPrices) for tier in price.tiers}
    )


def _at(listed: ModelPrice, start: int) -> Callable[[str], int | None]:
    """Reads the list's prices for a prompt just longer than `start` tokens."""

    def amount(name: str) -> int | None:
        if name == "web_search":
            per_thousand = listed.web_searches_kcount
            return _micros(_tier(per_thousand, start)) * 1000 if per_thousand is not None else None
        price = getattr(listed, _LISTED[name])
        return _micros(_tier(price, start)) if price is not None else None

    return amount


def _tier(price: Decimal | TieredPrices, start: int) -> Decimal:
    if isinstance(price, Decimal):
        return price
    return [price.base, *(tier.price for tier in price.tiers if tier.start <= start)][-1]


def _complete(amount: Callable[[str], int | None]) -> Rates:
    """Rates without gaps: what has no price of its own costs as much as what it is a kind of."""
    plain, output = amount("input"), amount("output")
    if plain is None or output is None:
        raise ValueError("a price needs at least input and output")
    write = _either(amount("cache_write"), plain)
    return Rates(
        input=plain,
        cache_read=_either(amount("cache_read"), plain),
        cache_write=write,
        cache_write_1h=_either(amount("cache_write_1h"), write),
        output=output,
        web_search=_either(amount("web_search"), 0),
    )


def _either(amount: int | None, otherwise: int) -> int:
    return otherwise if amount is None else amount


def _micros(units: Decimal) -> int:
    return int((units * MICROS).to_integral_value(rounding="ROUND_CEILING"))
