"""The four figures of a wall, and the machines that wait for a person."""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Count, Q
from django.utils import timezone

from budgets import reports
from budgets.models import BudgetRequest
from budgets.money import MICROS
from dashboard import needs, words
from dashboard.wall.sight import Sight
from machines.limits import enforce
from machines.models import Machine
from machines.states import State

WAITING_SHOWN = 8


class Sum(NamedTuple):
    """Money of one currency."""

    micros: int
    currency: str

    @property
    def short(self) -> str:
        """As it fits a wall: `$41.20`, `$412`, `$12.3k`."""
        units = (self.micros + MICROS // 2) // MICROS
        if units >= 10_000:
            return f"{words.SYMBOLS.get(self.currency, self.currency)}{units / 1000:.1f}k"
        if units >= 100:
            return words.money(units * MICROS, self.currency).rpartition(".")[0]
        return words.money(self.micros, self.currency)


@dataclass(frozen=True)
class Counts:
    """`failed` is of the last day; `spent` is today's, by currency, the largest first."""

    total: int
    running: int
    waiting: int
    failed: int
    spent: list[Sum]


def counts(sight: Sight) -> Counts:
    """Three queries."""
    fresh = timezone.now() - needs.FAILURE_FRESH_FOR
    found = sight.machines.aggregate(
        total=Count("pk"),
        running=Count("pk", filter=Q(state=State.RUNNING)),
        failed=Count("pk", filter=Q(state=State.FAILED, ended_at__gt=fresh)),
        waiting=Count("pk", filter=needs.condition()),
    )
    asked = BudgetRequest.objects.filter(project__in=sight.ids, state="pending", automatic=False).count()
    return Counts(**found | {"waiting": found["waiting"] + asked, "spent": _spent(sight)})


def _spent(sight: Sight) -> list[Sum]:
    currencies = {project.pk: project.currency for project in sight.projects}
    sums = Counter(dict.fromkeys(currencies.values(), 0))
    today = reports.midnight(timezone.get_current_timezone())
    for project, micros in reports.spent_since(sight.ids, today).items():
        sums[currencies[project]] += micros
    return [Sum(micros, currency) for currency, micros in sums.most_common()]


@dataclass(frozen=True)
class Waiting:
    """A machine that waits for a person."""

    machine: Machine
    silent: bool


def waiting(sight: Sight) -> list[Waiting]:
    """Those that wait longest. One query."""
    found = needs.attention(sight.machines).select_related("project")[:WAITING_SHOWN]
    return [Waiting(machine, enforce.is_silent(machine)) for machine in found]
