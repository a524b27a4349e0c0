"""What a new machine would leave of the budget that it draws on: a meter before and after, and a sentence."""

from dataclasses import dataclass

from django.core.cache import caches

from budgets import reports
from budgets.models import Window
from budgets.resources import Resource, of_member, of_project
from dashboard import outlook, words
from machines.forecast.estimate import Range
from projects.models import Project, User

FRESH_SECONDS = 60


@dataclass(frozen=True)
class Afterwards:
    """The tightest limit of money. The parts of the meter are in per cent of the limit, and end at 100."""

    window: Window
    spent: float
    held: float
    more: float
    tone: str
    sentence: str

    @property
    def begins(self) -> float:
        """Where the new machine's part is."""
        return round(self.spent + self.held, 2)


def of(project: Project, user: User, cost: Range) -> Afterwards | None:
    """What a machine that costs so much, in micros, would leave; None where no limit of money is set."""
    found = reports.of_holders([of_project(project.id), of_member(project.id, user.pk)])
    money = [window for window in found if window.resource == Resource.MONEY and not window.is_rate]
    if not money:
        return None
    window = min(money, key=lambda one: one.left)
    whole = max(window.limit, 1)
    spent = min(100 * window.consumed / whole, 100)
    held = min(100 * window.reserved / whole, 100 - spent)
    more = min(100 * cost.middle / whole, 100 - spent - held)
    after = spent + held + more
    return Afterwards(
        window,
        round(spent, 2),
        round(held, 2),
        round(more, 2),
        "bad" if after >= 95 else "warn" if after >= 75 else "ok",
        _sentence(window, cost),
    )


def _sentence(window: Window, cost: Range) -> str:
    left, limit = max(window.left, 0), f"{_money(window.limit, window)} {_period(window)}"
    if cost.middle >= left:
        return f"Only {_money(left, window)} of {limit} is left: it will probably pause before it is done."
    rest = f"It leaves about {_money(left - cost.middle, window)} of {limit}{_until(window, cost.middle)}."
    if cost.high >= left:
        return f"{rest} Should it take {_money(cost.high, window)}, it pauses before it is done."
    return rest


def _until(window: Window, cost: int) -> str:
    """How long the rest lasts; empty where nobody can tell, or it lasts beyond what is looked at."""
    key = f"afterwards:{window.pk}:{window.limit}:{cost}"
    said: str | None = caches["process"].get(key)
    if said is None:
        said = outlook.until(window, window.limit - cost)
        caches["process"].set(key, said, FRESH_SECONDS)
    return f"; at the present rate that lasts until {said}" if said else ""


def _period(window: Window) -> str:
    period = words.PERIODS[window.budget.period]
    return period if window.ends_at else "in all"


def _money(micros: int, window: Window) -> str:
    return words.money(micros, window.budget.currency)
