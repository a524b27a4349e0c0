"""What the fleet page shows: counts, money, and one page of machines, in a fixed number of queries."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import Count

from budgets import reports
from budgets.models import BudgetRequest, Window
from budgets.resources import Resource
from checkpoints.models import Checkpoint
from dashboard import needs
from dashboard.budget import Line, headline
from dashboard.budget import lines as told
from gateway.models import Call
from machines.limits import enforce, spending
from machines.models import Machine, MachineQuerySet
from machines.states import SPAWNING, State
from projects.models import Project, User

ROWS_PER_PAGE = 50
NEEDS_SHOWN = 5
FORECAST = 3


@dataclass(frozen=True)
class Group:
    """States that a person looks for together; every state is in one."""

    name: str
    tone: str
    icon: str
    states: frozenset[State]

    @property
    def key(self) -> str:
        return self.name.lower()


GROUPS = (
    Group("Running", "ok", "play", frozenset({State.RUNNING})),
    Group("Starting", "info", "turn", SPAWNING | {State.RESUMING, State.RESTORING}),
    Group("Paused", "warn", "pause", frozenset({State.PAUSING, State.PAUSED})),
    Group("Failed", "bad", "cross", frozenset({State.FAILED})),
    Group("Ended", "neutral", "stop", frozenset({State.STOPPING, State.TERMINATED})),
)


@dataclass(frozen=True)
class Filter:
    """What the query string asks for; unknown words ask for nothing."""

    group: Group | None
    project: str
    page: str

    @classmethod
    def read(cls, asked: Mapping[str, str]) -> "Filter":
        state = asked.get("state", "")
        return cls(
            next((group for group in GROUPS if group.key == state), None),
            asked.get("project", "").replace("\x00", ""),
            asked.get("page", "1"),
        )

    def __bool__(self) -> bool:
        return bool(self.group or self.project)

    def apply(self, machines: MachineQuerySet) -> MachineQuerySet:
        if self.group:
            machines = machines.filter(state__in=self.group.states)
        return machines.filter(project__slug=self.project) if self.project else machines


@dataclass(frozen=True)
class Tile:
    """A count that leads to the list of what it counts."""

    group: Group
    count: int
    chosen: bool


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


@dataclass(frozen=True)
class Row:
    """A machine in the list, with what other tables know about it."""

    machine: Machine
    checkpoints: int
    offline: bool
    silent: bool

    @property
    def since(self) -> Any:
        machine = self.machine
        return machine.ended_at or machine.run_started_at or machine.created_at


def view(user: User, asked: Filter) -> dict[str, Any]:
    """The context of the page and of its live fragment."""
    machines = Machine.objects.permitted(user, "view_project")
    projects = list(Project.objects.permitted(user, "view_project"))
    counts = dict(machines.values_list("state").annotate(Count("pk")).order_by())
    waiting = list(needs.attention(machines).select_related("project", "guest")[: NEEDS_SHOWN + 1])
    listed = asked.apply(machines).with_spending().select_related("project").order_by("-number")
    page = Paginator(listed, ROWS_PER_PAGE).get_page(asked.page)
    return {
        "asked": asked,
        "groups": GROUPS,
        "projects": projects,
        "total": sum(counts.values()),
        "tiles": [_tile(group, counts, asked) for group in GROUPS if group.key != "ended"],
        "waiting": [
            (machine, needs.why(machine), enforce.is_silent(machine)) for machine in waiting[:NEEDS_SHOWN]
        ],
        "requests": _asked(user),
        "transfers": list(needs.transfers(user)[:NEEDS_SHOWN]),
        "more_waiting": len(waiting) > NEEDS_SHOWN,
        "needing": needs.count(user),  # which the frame shows, too
        "purses": _purses(projects),
        "page": page,
        "rows": _rows(page),
    }


def _asked(user: User) -> list[tuple[BudgetRequest, str]]:
    """The first requests for more, and who asks: a machine, or a person."""
    found = list(needs.requests(user)[:NEEDS_SHOWN])
    handles = spending.handles(one.machine_id for one in found if one.machine_id)
    people = [one.asked_by.username if one.asked_by else "Somebody" for one in found]
    return [
        (one, handles.get(one.machine_id, name) if one.machine_id else name)
        for one, name in zip(found, people, strict=True)
    ]


def _tile(group: Group, counts: Mapping[str, int], asked: Filter) -> Tile:
    return Tile(group, sum(counts.get(state, 0) for state in group.states), asked.group == group)


def _purses(projects: Iterable[Project]) -> list[Purse]:
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


def _rows(page: Page[Machine]) -> list[Row]:
    machines = list(page)
    ids = [machine.id for machine in machines]
    checkpoints = _checkpoints(machines)
    offline = set(
        Call.objects.filter(machine__in=ids, offline=True).values_list("machine", flat=True).distinct()
    )
    return [
        Row(
            machine=machine,
            checkpoints=checkpoints.get(machine.subject, 0),
            offline=machine.id in offline,
            silent=enforce.is_silent(machine),
        )
        for machine in machines
    ]


def _checkpoints(machines: Iterable[Machine]) -> dict[str, int]:
    left = Checkpoint.objects.filter(origin__in=[machine.subject for machine in machines])
    return dict(left.values_list("origin").annotate(Count("pk")).order_by())
