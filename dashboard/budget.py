"""What the budget pages show: limits and what is left of them, what is held, and the chart of one of them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from budgets import breaker, reports
from budgets.models import Reservation, Window
from budgets.resources import Resource, of_machine
from dashboard import burndown, outlook
from dashboard.outlook import Outlook
from machines.limits import spending
from machines.models import Machine
from projects.models import Project, User
from projects.roles import Right

MACHINES_SHOWN = 50
HOLDS_SHOWN = 50


@dataclass(frozen=True)
class Line:
    """A limit in the table, and what is ahead of it, where that was reckoned."""

    window: Window
    outlook: Outlook | None
    machine: str = ""  # its handle, where the limit is a machine's

    @property
    def tone(self) -> str:
        """As a meter has it."""
        used = (self.window.consumed + self.window.reserved) / max(self.window.limit, 1)
        return "bad" if used >= 0.95 else "warn" if used >= 0.75 else "ok"


@dataclass(frozen=True)
class Hold:
    """Something under way that may cost up to so much."""

    reservation: Reservation
    machine: str

    @property
    def micros(self) -> int:
        return self.reservation.held.get(Resource.MONEY, 0)


def lines(windows: list[Window], machine: str = "") -> list[Line]:
    """With what is ahead of each."""
    ahead = outlook.of(windows)
    return [Line(window, ahead.get(window.pk), machine) for window in windows]


def overview(user: User) -> dict[str, Any]:
    """Every project that `user` may see; for staff, the limits of everything together and of hubs as well."""
    projects = list(Project.objects.permitted(user, "view_project"))
    ids = [project.id for project in projects]
    standing = [window for window in reports.standing(ids) if window.budget.kind == "project"]
    of: dict[UUID | None, list[Line]] = {}
    for line in lines(standing):
        of.setdefault(line.window.budget.project_id, []).append(line)
    today = reports.spent_since(ids, reports.midnight())
    return {
        "projects": [(one, of.get(one.id, []), today.get(one.id, 0)) for one in projects],
        "manages": set(Project.objects.permitted(user, "manage_budgets").values_list("pk", flat=True)),
        "system": lines(reports.above_projects()) if user.administers else None,
    }


def view(project: Project, held: Collection[str], charted: str = "") -> dict[str, Any]:
    """The limits of one project, of its members and its machines; what is held now; and a chart of one limit.

    `held` are the rights of who looks. `charted` is the id of the limit to draw; else it is the one to speak of first.
    """
    own = lines(reports.standing([project.id]))
    holds = list(reports.holds([project.id])[: HOLDS_SHOWN + 1])
    handles = spending.handles(one.machine_id for one in holds if one.machine_id)
    live = _live(project)
    funded = any(
        line.window.resource == Resource.MONEY and line.window.budget.kind == "project" for line in own
    )
    return {
        "project": project,
        "manages": Right.BUDGETS in held,
        "lines": own + _of_machines(live),
        "live": len(live),
        "breaker": breaker.find(project),
        "funded": funded,
        "headline": headline(own),
        "holds": [
            Hold(one, handles.get(one.machine_id, "") if one.machine_id else "")
            for one in holds[:HOLDS_SHOWN]
        ],
        "more_holds": len(holds) > HOLDS_SHOWN,
        **chart(own, charted),
    }


def _live(project: Project) -> dict[str, str]:
    """By holder, the handles of the machines that have not ended, the newest first."""
    live = Machine.objects.live().filter(project=project).order_by("-number")
    return {of_machine(key): f"m{number}" for key, number in live.values_list("pk", "number")}


def _of_machines(handles: dict[str, str]) -> list[Line]:
    """The limits of the newest of these machines."""
    newest = list(handles)[:MACHINES_SHOWN]
    return [Line(window, None, handles[window.holder]) for window in reports.of_holders(newest)]


def headline(lines: Iterable[Line]) -> Line | None:
    """The limit to speak of first: one that will not last before one that will, and money before the rest."""
    tones = ("bad", "warn", "ok", "neutral")
    told = [line for line in lines if line.outlook and line.window.budget.kind == "project"]
    return min(
        told,
        key=lambda line: (
            tones.index(line.outlook.tone) if line.outlook else 0,
            Resource.values.index(line.window.resource),
        ),
        default=None,
    )


def chart(lines: list[Line], asked: str = "") -> dict[str, Any]:
    """What the chart needs: the limit that was asked for by its id, else the one to speak of first."""
    chartable = [line for line in lines if line.outlook]
    chosen = next((line for line in chartable if str(line.window.budget_id) == asked), None)
    chosen = chosen or headline(chartable) or next(iter(chartable), None)
    drawn = chosen.outlook if chosen else None
    return {
        "charted": chosen,
        "chartable": chartable,
        "chart": burndown.draw(drawn.burn, drawn.sentence) if drawn else None,
    }


def of_machine_page(machine: Machine) -> list[Line]:
    """The machine's own limits, money first."""
    return lines(reports.of_holders([of_machine(machine.id)]), machine.handle)
