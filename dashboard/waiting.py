"""What waits for a person as one list, the longest waiting first, with what that person may do about each."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count, QuerySet, Window

from budgets.models import BudgetRequest
from dashboard import needs, operable
from machines.limits import enforce, spending
from machines.models import Machine, MachineQuerySet
from machines.states import State
from projects.models import Project, User
from projects.roles import Right

SHOWN_MAX = 100  # of each kind


@dataclass(frozen=True)
class Item:
    """A machine, a request for more, or a transfer; `kind` says which. `request` is what a paused machine asks for."""

    kind: str
    id: str
    at: datetime
    thing: Any
    why: str = ""
    who: str = ""
    silent: bool = False
    operable: bool = False
    manages: bool = False
    request: BudgetRequest | None = None

    @property
    def acknowledgeable(self) -> bool:
        """Whether it is a failure, which leaves the list once somebody says that it was seen."""
        return self.kind == "machine" and self.operable and self.thing.state == State.FAILED


class First(NamedTuple):
    """The first items, and how many there are."""

    items: list[Item]
    total: int


def first(user: User, machines: MachineQuerySet, most: int = SHOWN_MAX) -> First:
    """The `most` that wait longest. `machines` are those that the user may see."""
    related = ("project", "guest", "source", "present")
    stuck, count = _some(needs.attention(machines).select_related(*related), most)
    asked, asked_count = _some(needs.requests(user), most)
    offered, offered_count = _some(needs.transfers(user), most)
    handles = spending.handles(one.machine_id for one in asked if one.machine_id)
    items = [
        *(_machine(one) for one in stuck),
        *(_request(one, handles) for one in asked),
        *(Item("transfer", f"needs-transfer-{one.pk}", one.created_at, one, manages=True) for one in offered),
    ]
    items.sort(key=lambda item: item.at)
    return First(items[:most], count + asked_count + offered_count)


def view(user: User) -> dict[str, Any]:
    """The context of the page: the items with their acts, and what goes on without anybody."""
    machines = Machine.objects.permitted(user, "view_project")
    found = first(user, machines)
    return {
        "items": with_acts(user, found.items),
        "needing": found.total,
        "running": machines.filter(state=State.RUNNING).count() if not found.items else None,
    }


def with_acts(user: User, items: Iterable[Item]) -> list[Item]:
    """The same, each with what the user may do about it."""
    listed = list(items)
    machines = [item.thing for item in listed if item.kind == "machine"]
    if not machines:
        return listed
    operated = operable.of(user, machines)
    managed = set(Project.objects.permitted(user, Right.BUDGETS).values_list("pk", flat=True))
    asked = BudgetRequest.objects.filter(machine_id__in=[one.pk for one in machines], state="pending")
    requests = {one.machine_id: one for one in asked.select_related("budget__project")}
    return [_able(item, operated, managed, requests) for item in listed]


def _able(
    item: Item, operated: set[UUID], managed: set[UUID], requests: dict[UUID | None, BudgetRequest]
) -> Item:
    if item.kind != "machine":
        return item
    return replace(
        item,
        operable=item.thing.pk in operated,
        manages=item.thing.project_id in managed,
        request=requests.get(item.thing.pk),
    )


def _some(found: QuerySet[Any], most: int) -> tuple[list[Any], int]:
    """The first of them, and how many there are."""
    listed = list(found.annotate(together=Window(Count("pk")))[:most])
    return listed, listed[0].together if listed else 0


def _machine(machine: Machine) -> Item:
    return Item(
        "machine",
        f"needs-{machine.handle}",
        needs.since(machine),
        machine,
        needs.why(machine),
        silent=enforce.is_silent(machine),
    )


def _request(request: BudgetRequest, handles: dict[UUID, str]) -> Item:
    person = request.asked_by.username if request.asked_by else "Somebody"
    who = handles.get(request.machine_id, person) if request.machine_id else person
    return Item("request", f"needs-request-{request.pk}", request.created_at, request, who=who, manages=True)
