"""A budget's future if more or fewer machines ran than do now, each as dear as now. Nothing is changed by asking."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.utils import timezone

from budgets import burn, reports
from budgets.burn import Burn
from budgets.forecast import Band, Forecast
from budgets.models import Window
from dashboard import budget, burndown, outlook
from dashboard.budget import Line
from dashboard.burndown import Chart
from dashboard.fleet import cluster
from dashboard.outlook import Outlook
from machines.models import Machine
from projects.models import Project

MOST = 40


@dataclass(frozen=True)
class WhatIf:
    """`machines` instead of `present` ones; `said` is what becomes of the limit then."""

    line: Line
    present: int
    machines: int
    most: int
    said: Outlook
    chart: Chart


def view(charted: Line | None, present: int, asked: str) -> dict[str, Any]:
    """The context of the card. There is none where none of the `present` machines runs, or nothing can be forecast."""
    if (
        not present
        or not charted
        or not charted.outlook
        or not isinstance(charted.outlook.burn.forecast, Forecast)
    ):
        return {"what_if": None}
    most = max(MOST, 2 * present)
    machines = (
        min(max(int(asked), 0), most) if asked.isascii() and asked.isdecimal() and len(asked) < 6 else present
    )
    found = imagined(charted.window, charted.outlook.burn, present, machines)
    said = outlook.tell(found, rate=_rate(machines, present))
    return {
        "room": cluster.rooms().here,
        "what_if": WhatIf(charted, present, machines, most, said, burndown.draw(found, said.sentence)),
    }


def of(project: Project, asked: Mapping[str, str]) -> dict[str, Any]:
    """The same by itself: of `limit`, else of the limit to speak of first."""
    told = budget.lines(reports.standing([project.id]))
    present = Machine.objects.live().filter(project=project).count()
    return view(budget.chart(told, asked.get("limit", ""))["charted"], present, asked.get("machines", ""))


def _rate(machines: int, present: int) -> str:
    if machines == present:
        return outlook.AT_PRESENT
    return f"With {machines} machine{'' if machines == 1 else 's'} instead of {present}"


def imagined(window: Window, known: Burn, present: int, machines: int) -> Burn:
    """The same past, and a future that uses `machines`/`present` times as much.

    What comes so many times as fast reaches the limit when what comes as now reaches that part of what is left.
    """
    ahead = known.forecast
    assert isinstance(ahead, Forecast)
    if machines == present:
        return known
    used = window.consumed
    part = (window.limit - used) * present // machines if machines else None
    reached = burn.of(window, timezone.now(), limit=used + part).forecast if part is not None else None
    never = (None, None, None)

    def scaled(band: Band) -> Band:
        return Band(
            *(used + (one - used) * machines // present for one in (band.low, band.middle, band.high))
        )

    future = replace(
        ahead,
        consumed=scaled(ahead.consumed),
        marks=[replace(mark, consumed=scaled(mark.consumed)) for mark in ahead.marks],
        runs_out=reached.runs_out if isinstance(reached, Forecast) else never,
        risk=reached.risk if isinstance(reached, Forecast) else 0.0,
    )
    return replace(known, forecast=future)
