"""The first page of a project: what waits in it, what runs, what came of the last machines, and what is left to spend.

Its tree, budget, members and audit have pages of their own; here is the newest of each.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.db.models import Count
from django.urls import reverse

from budgets import breaker, reports
from checkpoints.models import Checkpoint
from dashboard import budget, rights, things, waiting
from dashboard.fleet.groups import GROUPS
from dashboard.happened import Row
from dashboard.look import Look
from dashboard.start import DEMO
from dashboard.things import Thing
from dashboard.waiting import Item
from events.models import Event
from machines import types
from machines.limits import enforce
from machines.models import Machine, MachineQuerySet
from machines.states import ENDED, LIVE, State
from projects import members
from projects.models import Project, User
from projects.roles import Right

ACTIVE, RESULTS, TIPS, MEMBERS, EVENTS, NEEDS = 10, 20, 5, 8, 10, 5
# A machine that is to be spawned for the first time: its type, and its prompt.
EXAMPLES = (
    ("vibe", DEMO),
    ("vibe", "Write a command-line tool that finds duplicate files, with a README and tests"),
    ("shell", "uname -a; df -h /; python3 --version"),
)


class Example(NamedTuple):
    """A prompt, and the address of a form that is filled in with it."""

    kind: str
    prompt: str
    address: str


@dataclass(frozen=True)
class Result:
    """A machine that has ended, and how."""

    machine: Machine

    @property
    def look(self) -> Look:
        if self.machine.state == State.FAILED:
            return Look("bad", "cross")
        return Look("ok", "check") if self.succeeded else Look("neutral", "stop")

    @property
    def word(self) -> str:
        if self.machine.state == State.FAILED:
            return "failed"
        return "succeeded" if self.succeeded else "was ended"

    @property
    def succeeded(self) -> bool:
        """Whether its agent came to its end by itself, and said that all is well."""
        return self.machine.state == State.TERMINATED and self.machine.exit_code == 0


def view(slug: str, user: User) -> dict[str, Any]:
    """The context of the page and of its live fragment. Raises `NotThere`."""
    project, held = rights.find(slug, user)
    own = Machine.objects.filter(project=project)
    counts = dict(own.values_list("state").annotate(Count("pk")).order_by())
    active, results = _machines(own) if counts else ([], [])
    limits = [line for line in budget.lines(reports.standing([project.id])) if _is_own(line)]
    items, everywhere = _waiting(project, user, own)
    found = members.of(project)
    return {
        "project": project,
        "spawns": Right.SPAWN in held,
        "operates": Right.OPERATE in held,
        "manages_budgets": Right.BUDGETS in held,
        "manages": Right.MANAGE in held,
        "total": sum(counts.values()),
        "live": sum(counts.get(state, 0) for state in LIVE),
        "counts": [(group, number) for group in GROUPS if (number := group.count(counts))],
        "active": [(machine, enforce.is_silent(machine)) for machine in active],
        "results": results,
        "succeeded": sum(result.succeeded for result in results),
        "tips": _tips([*active, *(result.machine for result in results)]),
        "limits": limits,
        "headline": budget.headline(limits),
        "breaker": breaker.find(project),
        "items": items[:NEEDS],
        "more_items": len(items) > NEEDS,
        "needing": everywhere,  # which the frame shows
        "members": found[:MEMBERS],
        "more_members": max(len(found) - MEMBERS, 0),
        "happened": _happened(project),
        "examples": [] if counts else examples(project),
    }


def _is_own(line: budget.Line) -> bool:
    return line.window.budget.kind == "project"


def _machines(own: MachineQuerySet) -> tuple[list[Machine], list[Result]]:
    """The newest of those that are at work, and the last that have ended. One query."""
    told = own.with_spending().select_related("source", "present__shares")
    live = told.filter(state__in=LIVE).order_by("-number")[:ACTIVE]
    ended = told.filter(state__in=ENDED).order_by("-ended_at")[:RESULTS]
    found = list(live.union(ended, all=True))
    results = sorted((one for one in found if one.ended), key=lambda one: (one.ended_at, one.number))
    return [one for one in found if not one.ended], [Result(one) for one in results]


def _tips(machines: list[Machine]) -> list[Checkpoint]:
    """Where the tree grows: the last checkpoint of each of these machines, the newest first."""
    last = [machine.present for machine in machines if machine.present]
    return sorted(last, key=lambda one: one.created_at, reverse=True)[:TIPS]


def _waiting(project: Project, user: User, own: MachineQuerySet) -> tuple[list[Item], int]:
    """What waits for the user in this project; and how much does anywhere."""
    everywhere = waiting.first(user, Machine.objects.permitted(user, Right.VIEW))
    cut = everywhere.total > len(everywhere.items)
    found = waiting.first(user, own) if cut else everywhere
    return [item for item in found.items if _concerns(item, project)], everywhere.total


def _concerns(item: Item, project: Project) -> bool:
    if item.kind == "transfer":
        return project.pk in (item.thing.giver_id, item.thing.taker_id)
    return bool(item.thing.project_id == project.pk)


def _happened(project: Project) -> list[Row]:
    """The last entries of its audit trail, by the names that they have themselves."""
    last = Event.objects.filter(project_id=project.pk).order_by("-pk")[:EVENTS]
    return [Row(event, _thing(event), "", sourced=False) for event in last]


def _thing(event: Event) -> Thing:
    handle = str(event.data.get("handle") or "")
    known = bool(handle) and event.subject.startswith("machine:")
    return Thing(
        handle or things.short(event.subject), reverse("dashboard:machine", args=[handle]) if known else ""
    )


def examples(project: Project) -> list[Example]:
    """Prompts to begin with, of the types that there are."""
    there = {kind.name for kind in types.all()}
    form = reverse("dashboard:spawn")
    return [
        Example(
            kind, prompt, f"{form}?{urlencode({'project': project.slug, 'type': kind, 'prompt': prompt})}"
        )
        for kind, prompt in EXAMPLES
        if kind in there
    ]
