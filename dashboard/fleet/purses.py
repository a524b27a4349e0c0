"""The money of the projects that somebody sees: what is spent, held and left, and what will not last."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from budgets import reports
from budgets.models import Window
from budgets.resources import Resource
from dashboard.budget import Line, headline
from dashboard.budget import lines as told
from projects.models import Project

FORECAST = 3


@dataclass(frozen=True)
class Purse:
    """The money of the visible projects in one currency: of each, the limit that has least left."""

    currency: str
    lines: list[Line]
    today: int  # spent since midnight

    @property
    def limit(self) -> int:
        return sum(line.window.limit for line in self.lines)

    @property
    def spent(self) -> int:
        return sum(line.window.consumed for line in self.lines)

    @property
    def reserved(self) -> int:
        return sum(line.window.reserved for line in self.lines)

    @property
    def left(self) -> int:
        return sum(max(line.window.left, 0) for line in self.lines)

    @property
    def alarm(self) -> Line | None:
        """The limit that will run out first, if one will."""
        return headline(line for line in self.lines if line.outlook and line.outlook.tone in ("bad", "warn"))


def of(projects: Iterable[Project]) -> list[Purse]:
    ids = [project.id for project in projects]
    tightest: dict[UUID | None, Window] = {}
    for window in reports.standing(ids):
        budget = window.budget
        if budget.kind == "project" and window.resource == Resource.MONEY and not window.is_rate:
            before = tightest.get(budget.project_id)
            if before is None or window.left < before.left:
                tightest[budget.project_id] = window
    today = dict[UUID | None, int](reports.spent_since(ids, reports.midnight()).items())
    lines: dict[str, list[Line]] = {}
    for window in tightest.values():
        lines.setdefault(window.budget.project.currency if window.budget.project else "", []).append(
            Line(window, None)
        )
    return [
        Purse(currency, _told(found), sum(today.get(line.window.budget.project_id, 0) for line in found))
        for currency, found in sorted(lines.items())
    ]


def _told(lines: list[Line]) -> list[Line]:
    """With a forecast for the few that are furthest used: it takes a while to reckon."""
    fullest = sorted(lines, key=lambda line: -line.window.percent)
    return told([line.window for line in fullest[:FORECAST]]) + fullest[FORECAST:]
