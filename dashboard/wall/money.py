"""Money on a wall: the limits that are fullest, and what the last day cost hour by hour."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Sum as Total
from django.db.models.functions import TruncHour
from django.utils import timezone

from budgets import reports
from budgets.models import LedgerEntry, Window
from dashboard import words
from dashboard.wall.sight import Sight

LIMITS_SHOWN = 6
HOURS = 24
WIDTH, HEIGHT = 240, 80  # of the drawing's box


def limits(sight: Sight) -> list[Window]:
    """The projects' own limits, the fullest first; those of members name people. One query."""
    found = [one for one in reports.standing(sight.ids) if one.budget.kind == "project" and not one.is_rate]
    return sorted(found, key=lambda window: -window.percent)[:LIMITS_SHOWN]


@dataclass(frozen=True)
class Burn:
    """What each of the last hours cost, the present one last, in the currency that most was spent in."""

    currency: str
    hours: list[tuple[datetime, int]]

    @property
    def now(self) -> int:
        return self.hours[-1][1]

    @property
    def total(self) -> int:
        return sum(micros for _, micros in self.hours)

    @property
    def mean(self) -> int:
        return self.total // len(self.hours)

    @property
    def bars(self) -> list[tuple[float, float, float, float]]:
        """Each hour's rectangle: x, y, width and height."""
        most, step = max((micros for _, micros in self.hours), default=0) or 1, WIDTH / HOURS
        tall = [round((HEIGHT - 2) * micros / most + 2, 1) for _, micros in self.hours]
        return [(round(at * step + 1, 1), HEIGHT - one, step - 2, one) for at, one in enumerate(tall)]

    @property
    def sentence(self) -> str:
        """What it shows, in words."""
        said = [words.money(amount, self.currency) for amount in (self.now, self.total)]
        return f"{said[0]} this hour, {said[1]} in {HOURS} hours."


def burn(sight: Sight) -> Burn:
    """One query."""
    this = timezone.now().replace(minute=0, second=0, microsecond=0)
    hours = [this - timedelta(hours=back) for back in reversed(range(HOURS))]
    entries = LedgerEntry.objects.filter(
        project__in=sight.ids, kind__in=LedgerEntry.CONSUMPTION, created_at__gte=hours[0]
    )
    rows = entries.order_by().values_list("project__currency", TruncHour("created_at", tzinfo=this.tzinfo))
    found: dict[str, dict[datetime, int]] = defaultdict(dict)
    for currency, hour, micros in rows.annotate(Total("micros")):
        found[currency][hour] = int(micros)
    usual = sight.projects[0].currency if sight.projects else "USD"
    most = max(found, key=lambda currency: sum(found[currency].values()), default=usual)
    return Burn(most, [(hour, found[most].get(hour, 0)) for hour in hours])
