"""What a refused call is told: who has how much left of what, what the call needs, and what to do."""

from collections.abc import Mapping

from budgets import money
from budgets.models import Window
from budgets.resources import CALLS, SYSTEM, Period, Resource, unit_of
from projects.models import Project

# By resource, the least that can be held for the call: its whole prompt, and an answer just long enough to be of use.
Amounts = Mapping[str, int]

_UNITS = {
    Resource.TOKENS: "tokens",
    Resource.INPUT_TOKENS: "input tokens",
    Resource.CACHED_TOKENS: "cached tokens",
    Resource.OUTPUT_TOKENS: "output tokens",
    Resource.CALLS: "calls",
    Resource.CPU: "CPU-seconds",
    Resource.WALL: "seconds",
    Resource.MEMORY: "GB-hours",
    Resource.STORAGE: "GB-hours",
    Resource.NETWORK: "GB",
}


def no_budget(project: Project) -> str:
    return (
        f"Project {project.slug} has no budget for money, so nothing may be spent in it. "
        f"Give it one with `bin/autovibe budget set {project.slug} money 10`."
    )


def too_little(window: Window, project: Project, needs: Amounts) -> str:
    """The budget does not do, whatever the calls under way turn out to cost."""
    resource, currency = window.resource, project.currency
    left = amount(max(window.unspent, 0), resource, currency)
    limit = amount(window.limit, resource, currency) + _per(window)
    others = ", enough for other calls" if window.has_room and resource in CALLS else ""
    return (
        f"{window.budget.scope} has {left} of its {limit} left{others}; "
        f"{_asks(window)} {amount(needs[resource], resource, currency)}. "
        f"Raise the limit with `{command(window, project, needs)}`{_or_wait(window)}."
    )


def held_elsewhere(window: Window, project: Project, needs: Amounts) -> str:
    """The budget would do, if calls under way did not hold so much of it."""
    resource, currency = window.resource, project.currency
    free, held = (amount(max(some, 0), resource, currency) for some in (window.left, window.reserved))
    who = "calls under way hold" if resource in CALLS else "others hold"
    return (
        f"{window.budget.scope} has {free} free while {who} {held}; {_asks(window)} "
        f"{amount(needs[resource], resource, currency)}. Try again when they have ended."
    )


def too_fast(window: Window, project: Project) -> str:
    """A rate: the next minute has room again."""
    most = amount(window.limit, window.resource, project.currency)
    return f"{window.budget.scope} may use {most} a minute. Try again in the next."


def amount(quantity: int, resource: str, currency: str) -> str:
    """The quantity in its unit: `5.00 USD`, `12,000 tokens`, `1 call`, `2.5 GB-hours`."""
    if resource == Resource.MONEY:
        return money.show(quantity, currency)
    name, unit = _UNITS[Resource(resource)], unit_of(resource)
    if unit > 1:
        return f"{quantity / unit:,.3f}".rstrip("0").rstrip(".") + f" {name}"
    return f"{quantity:,} {name if quantity != 1 else name.removesuffix('s')}"


def command(window: Window, project: Project, needs: Amounts) -> str:
    """The command that makes room: twice the limit, or as much as the call needs if that is more."""
    resource, budget = window.resource, window.budget
    limit = max(2 * budget.limit, budget.limit - window.unspent + 2 * needs[resource])
    owner = budget.holder if budget.kind in (SYSTEM, "hub") else project.slug
    whole = -(-limit // unit_of(resource))
    return f"bin/autovibe budget set {owner} {resource} {whole}{_options(window)}"


def _options(window: Window) -> str:
    budget = window.budget
    who = f" --machine {budget.scope.removeprefix('Machine ')}" if budget.kind == "machine" else ""
    who = f" --member {budget.scope.split()[1]}" if budget.kind == "member" else who
    return who + ("" if budget.period == Period.TOTAL else f" --per {budget.period}")


def _asks(window: Window) -> str:
    if window.resource in CALLS:
        return "even a short answer to this call may cost"
    return "to go on for a moment may take"


def _per(window: Window) -> str:
    return "" if window.budget.period == Period.TOTAL else f" per {window.budget.period}"


def _or_wait(window: Window) -> str:
    return f", or wait until {window.ends_at:%Y-%m-%d %H:%M %Z}" if window.ends_at else ""
