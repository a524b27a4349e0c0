"""What the forms for new machines show besides their fields: types, money, where to begin, and what is ahead."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Q

from budgets.models import Window
from budgets.resources import Resource, of_project
from checkpoints.models import Checkpoint
from checkpoints.states import State as CheckpointState
from dashboard import suggesting
from dashboard.fleet import cluster
from guests.models import Node
from machines import actions, types
from machines.models import Machine
from machines.states import SPAWNING
from projects.models import Project

FOUND_MAX = 30


def context(offered: list[Project], source: Checkpoint | None, prompt: str) -> dict[str, Any]:
    """`offered` are the projects to choose from; a branch from `source` has one, and its own beginning."""
    parent = actions.machine_of(source) if source else None
    return {
        "source": source,
        "parent": parent,
        "goes_on": bool(parent and source and source.begun and _resumes(parent.type)),
        "types": types.all(),
        "suggestion": None if source else suggesting.suggest(offered, prompt),
        "projects": offered,
        "purses": _purses(offered),
        "found": [] if source else checkpoints(offered),
        "ahead": ahead(),
        "room": cluster.rooms().on(source.guest.node) if source else cluster.rooms().here,
    }


def preferred(asked: str, offered: Iterable[Project]) -> str:
    """The type to begin with: the one that is asked for, if there is such, else what is suggested."""
    known = {kind.name for kind in types.all()}
    return asked if asked in known else suggesting.suggest(offered).kind.name


def checkpoints(offered: Iterable[Project], typed: str = "") -> list[Checkpoint]:
    """Those that a machine can begin at, the newest first, whose handle, name or reason holds what is typed."""
    usable = Checkpoint.objects.filter(project__in=list(offered), state=CheckpointState.CAPTURED)
    if typed:
        usable = usable.filter(
            Q(handle__istartswith=typed) | Q(name__icontains=typed) | Q(why__icontains=typed)
        )
    return list(usable.only("handle", "why", "name", "created_at").order_by("-created_at")[:FOUND_MAX])


def ahead() -> str:
    """What is ahead of a machine that is spawned now."""
    nodes = dict(Node.objects.values_list("name", "online"))
    if nodes and not any(nodes.values()):
        return "No node is online: it waits until one is back."
    starting = Machine.objects.filter(state__in=SPAWNING).count()
    away = ", ".join(name for name, online in nodes.items() if not online)
    said = {0: "Nothing is ahead of it: it starts at once.", 1: "One other machine is starting now."}
    return said.get(starting, f"{starting} other machines are starting now.") + (
        f" Node {away} is away." if away else ""
    )


def _resumes(type_name: str) -> bool:
    """Whether an agent of that type can go on with a conversation."""
    try:
        return bool(types.get(type_name).resume_command)
    except types.UnknownType:
        return False


def _purses(offered: list[Project]) -> list[Window]:
    whole = Window.objects.of([of_project(one.id) for one in offered]).filter(resource=Resource.MONEY)
    return list(whole.select_related("budget__project").order_by("budget__project__slug", "pk"))
