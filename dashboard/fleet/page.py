"""The fleet page's context: what needs somebody, counts, money, the map, and one page of machines."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.core.paginator import Page, Paginator
from django.db.models import BooleanField, Count, ExpressionWrapper, Q

from dashboard import waiting
from dashboard.fleet import cluster, picture, purses, rows
from dashboard.fleet.groups import GROUPS, Group, Tile
from dashboard.fleet.search import FIELDS, Filter
from machines import types
from machines.models import Machine, MachineQuerySet
from projects.models import Project, User
from projects.roles import Right

ROWS_PER_PAGE = 50
NEEDS_SHOWN = 5


class Select(NamedTuple):
    """A field of the filter, what it says where nothing is chosen, and what there is to choose."""

    name: str
    all: str
    options: list[tuple[str, str]]
    value: str


@dataclass(frozen=True)
class Listed:
    """The machines that are shown; `fresh` more belong among them by now, and `stale` no longer do."""

    machines: list[Machine]
    page: Page[Machine]
    fresh: int = 0
    stale: int = 0


def view(user: User, asked: Filter, shown: str = "") -> dict[str, Any]:
    """The context of the page, and of its live fragment when `shown` has the handles that it shows now.

    Of a list that somebody filters, sorts or chooses from, the fragment has the same machines in the same order.
    """
    machines = Machine.objects.permitted(user, "view_project")
    counts = _counted(machines)
    total = sum(counts.values())
    projects, operates = _projects(user)
    found = asked.apply(machines)
    page = Paginator(asked.ordered(rows.known(found)), ROWS_PER_PAGE)
    if not asked:
        page.count = total  # which is known
    listed = _listed(page.get_page(asked.page), machines, shown.split())
    first = waiting.first(user, machines, NEEDS_SHOWN)
    rooms = cluster.rooms()
    return {
        "asked": asked,
        "groups": GROUPS,
        "fields": FIELDS,
        "selects": _selects(asked, projects),
        "projects": projects,
        "total": total,
        "tiles": [_tile(group, counts, asked) for group in GROUPS if group.key != "ended"],
        "waiting": first.items,
        "more_waiting": first.total > len(first.items),
        "needing": first.total,  # which the frame shows, too
        "purses": purses.of(projects),
        "nodes": cluster.seen(),
        "room": rooms.here,
        "map": picture.of(found, asked.grouping, rooms),
        "listed": listed,
        "page": listed.page,
        "rows": rows.of(listed.machines),
        "shown": " ".join(machine.handle for machine in listed.machines),
        "columns": asked.heads(),
        **_addresses(asked, listed.page),
        "operates": operates,
    }


def _tile(group: Group, counts: Mapping[str, int], asked: Filter) -> Tile:
    chosen = asked.value("state") == group.key
    return Tile(group, group.count(counts), chosen, asked.address(state="" if chosen else group.key))


def _addresses(asked: Filter, page: Page[Machine]) -> dict[str, str]:
    """Where the page's own links lead."""
    return {
        "here": asked.address(page=asked.page if asked.page != "1" else ""),
        "by_node": asked.address(group=""),
        "by_project": asked.address(group="project"),
        "previous_page": asked.address(page=str(page.number - 1)) if page.has_previous() else "",
        "next_page": asked.address(page=str(page.number + 1)) if page.has_next() else "",
    }


def _selects(asked: Filter, projects: list[Project]) -> list[Select]:
    return [
        Select("state", "All states", [(group.key, group.name) for group in GROUPS], asked.value("state")),
        Select(
            "project",
            "All projects",
            [(project.slug, project.slug) for project in projects],
            asked.value("project"),
        ),
        Select("type", "All types", [(kind.name, kind.name) for kind in types.all()], asked.value("type")),
    ]


def _projects(user: User) -> tuple[list[Project], bool]:
    """Those that the user sees, and whether they may spawn in one, which is what it takes to operate anything."""
    spawns = Q(pk__in=Project.objects.permitted(user, Right.SPAWN).values("pk"))
    seen = Project.objects.permitted(user, "view_project")
    found = list(seen.annotate(spawns=ExpressionWrapper(spawns, output_field=BooleanField())))
    return found, any(getattr(project, "spawns", False) for project in found)


def _counted(machines: MachineQuerySet) -> dict[str, int]:
    """How many there are in each state."""
    return dict(machines.order_by().values_list("state").annotate(Count("pk")))


def _listed(page: Page[Machine], machines: MachineQuerySet, shown: list[str]) -> Listed:
    """The page; or, while they are looked at, those that are shown already."""
    now = list(page)
    if not shown:
        return Listed(now, page)
    numbers = [number for handle in shown if (number := Machine.number_of(handle)) is not None]
    there = rows.known(machines.filter(number__in=numbers[:ROWS_PER_PAGE]))
    kept = sorted(there, key=lambda machine: numbers.index(machine.number))
    fresh = {machine.number for machine in now} - set(numbers)
    stale = set(numbers) - {machine.number for machine in now}
    return Listed(kept, page, len(fresh), len(stale))
