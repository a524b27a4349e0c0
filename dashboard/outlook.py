"""What is ahead of a budget, in words. The forecast itself is `budgets.forecast`'s."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.core.cache import caches
from django.utils import timezone

from budgets import burn
from budgets.burn import Burn
from budgets.forecast import Forecast, TooShort
from budgets.models import Window
from budgets.resources import Period
from dashboard import words

FRESH_SECONDS = 60
AT_PRESENT = "At the present rate"


@dataclass(frozen=True)
class Outlook:
    """Of one budget in its present period. `tone` is a class of components.css."""

    burn: Burn
    short: str  # for a table's cell
    sentence: str
    tone: str


def of(windows: Iterable[Window]) -> dict[int, Outlook]:
    """By the window's id. Rates, which nobody forecasts, are left out. At most a minute old: it takes a while."""
    wanted = {_key(window): window for window in windows if not window.is_rate}
    found: dict[str, Outlook] = caches["process"].get_many(wanted)
    missing = {key: window for key, window in wanted.items() if key not in found}
    burns = burn.of_all(missing.values(), timezone.now())
    fresh = {key: tell(burns[window.pk]) for key, window in missing.items()}
    caches["process"].set_many(fresh, FRESH_SECONDS)
    return {wanted[key].pk: outlook for key, outlook in (found | fresh).items()}


def _key(window: Window) -> str:
    """Whoever changes the limit is told at once what that means."""
    return f"outlook:{window.pk}:{window.limit}:{window.exhausted_at and window.exhausted_at.timestamp()}"


def tell(found: Burn, *, rate: str = AT_PRESENT) -> Outlook:
    """The forecast in words; one that was made for another limit or another `rate`, too."""
    window, ahead = found.window, found.forecast
    what = words.RESOURCES[window.budget.resource]
    if window.unspent <= 0:
        until = f" until {_day(window.ends_at, window)}" if window.ends_at else ""
        return Outlook(found, "Used up", f"{what} is used up{until}.", "bad")
    if isinstance(ahead, TooShort):
        return Outlook(found, "Not enough history", str(ahead), "neutral")
    return Outlook(found, *_ahead(what, ahead, window, rate))


def _ahead(what: str, ahead: Forecast, window: Window, rate: str) -> tuple[str, str, str]:
    early, middle, late = ahead.runs_out
    if middle:
        on = _day(middle, window)
        between = f"between {_day(early or middle, window)} and {_day(late, window) if late else 'later'}"
        said = f"{rate}, {what.lower()} runs out on {on}"
        return f"Runs out {on}", f"{said} (eight of ten times {between}).", "bad" if early else "warn"
    band = ahead.consumed
    used = f"{_amount(band.low, window)} to {_amount(band.high, window)} of {_amount(window.limit, window)}"
    if early:
        return (
            f"May run out from {_day(early, window)}",
            f"{what} may run out from {_day(early, window)} on: {used} will probably be used "
            f"by {_day(ahead.until, window)}.",
            "warn",
        )
    return (
        f"Lasts {_span(window)}",
        f"{what} lasts: {used} will probably be used by {_day(ahead.until, window)}.",
        "ok",
    )


def until(window: Window, limit: int) -> str:
    """The day on which it would run out with that limit; empty where it lasts, or nobody can tell."""
    ahead = burn.of(window, timezone.now(), limit=limit).forecast
    middle = ahead.runs_out[1] if isinstance(ahead, Forecast) else None
    return _day(middle, window) if middle else ""


def _span(window: Window) -> str:
    period = window.budget.period
    return "for now" if period == Period.TOTAL else f"the {period}"


def _day(at: datetime, window: Window) -> str:
    return words.day(at.astimezone(ZoneInfo(window.budget.timezone)))


def _amount(quantity: int, window: Window) -> str:
    return words.amount(quantity, window.resource, window.budget.currency)
