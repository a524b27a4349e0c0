"""What waits for a person as one list, the longest waiting first, with what that person may do about each."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count, QuerySet, Window

from budgets.models import BudgetRequest, Transfer
from dashboard import needs, operable, snoozing
from dashboard.snoozing import Aside
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
    until: datetime | None = None  # for how long it is snoozed; None too where that is until it changes

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, str(self.thing.pk)

    @property
    def acknowledgeable(self) -> bool:
        """Whether it is a failure, which leaves the list once somebody says that it was seen."""
        return self.kind == "machine" and self.operable and self.thing.state == State.FAILED


class First(NamedTuple):
    """The first items, how many there are, and what is snoozed and not among them."""

    items: list[Item]
    total: int
    aside: Aside


def first(user: User, machines: MachineQuerySet, most: int = SHOWN_MAX) -> First:
    """The `most` that wait longest, but for what is snoozed. `machines` are those that the user may see."""
    aside = snoozing.of(user)
    related = ("project", "guest", "source", "present")
    attention = needs.attention(machines).exclude(pk__in=aside.keys("machine"))
    stuck, count = _some(attention.select_related(*related), most)
    asked, asked_count = _some(needs.requests(user).exclude(pk__in=aside.keys("request")), most)
    offered, offered_count = _some(needs.transfers(user).exclude(pk__in=aside.keys("transfer")), most)
    items = _items([*stuck, *asked, *offered])
    items.sort(key=lambda item: item.at)
    return First(items[:most], count + asked_count + offered_count, aside)


def view(user: User) -> dict[str, Any]:
    """The context of the page: the items with their acts, what is snoozed, and what goes on without anybody."""
    machines = Machine.objects.permitted(user, "view_project")
    found = first(user, machines)
    return {
        "items": with_acts(user, found.items),
        "needing": found.total,
        "spans": snoozing.FOR.items(),
        "snoozed": _snoozed(found.aside),
        "running": machines.filter(state=State.RUNNING).count() if not found.items else None,
    }


def _snoozed(aside: Aside) -> list[Item]:
    """What comes back first is first; what has to change for that is last."""
    items = [replace(item, until=aside.put[item.key].until) for item in _items(aside.things)]
    return sorted(items, key=lambda item: (item.until is None, item.until or item.at))


def _items(things: list[Machine | BudgetRequest | Transfer]) -> list[Item]:
    asking = (one.machine_id for one in things if isinstance(one, BudgetRequest) and one.machine_id)
    handles = spending.handles(asking)
    return [_item(one, handles) for one in things]


def _item(thing: Machine | BudgetRequest | Transfer, handles: dict[UUID, str]) -> Item:
    if isinstance(thing, Machine):
        return _machine(thing)
    if isinstance(thing, BudgetRequest):
        return _request(thing, handles)
    return Item("transfer", f"needs-transfer-{thing.pk}", thing.created_at, thing, manages=True)


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
