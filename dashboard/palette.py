"""What the palette finds for a few words: pages, machines and what can be done with them, projects, checkpoints.

Only what the person may see, and only what they may do now. At most three queries, whatever there is.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.urls import reverse

from checkpoints.models import Checkpoint
from dashboard import look, navigation
from machines.models import Machine
from projects.models import Project, User
from projects.roles import Right

SHOWN = 8
EACH = 4  # of a kind
LONGEST = 100  # characters that are looked at
HANDLE = re.compile(r"m?(\d+)$")
# What can be done with a machine, as the palette words it.
ACTS = {
    "pause": ("Pause", "pause"),
    "resume": ("Resume", "play"),
    "checkpoint": ("Checkpoint", "checkpoint"),
    "terminate": ("Terminate", "stop"),
}
VERBS = ("spawn", "terminal", *ACTS)


@dataclass(frozen=True)
class Found:
    """One line: what it is, what tells it from others like it, and where it leads."""

    label: str
    hint: str
    icon: str
    address: str


def search(user: User, typed: str) -> list[Found]:
    """The best matches, best first; for nothing typed, the newest machines and the main pages."""
    words = typed.casefold()[:LONGEST].split()
    verbs = [verb for verb in VERBS if words and len(words[0]) > 1 and verb.startswith(words[0])]
    found = _to_do(user, verbs, words) if verbs else _to_see(user, " ".join(words))
    return list(islice(found, SHOWN))


def _to_do(user: User, verbs: list[str], words: list[str]) -> Iterator[Found]:
    subject = " ".join(words[1:])
    for machine in _machines(user, subject) if verbs != ["spawn"] else ():
        yield from _acts(machine, verbs)
    if "spawn" in verbs:
        yield from (_spawn(project) for project in _projects(user, subject) if project.spawns)
    yield from _pages(user, " ".join(words))


def _to_see(user: User, typed: str) -> Iterator[Found]:
    if typed:
        yield from _pages(user, typed)
    for machine in _machines(user, typed):
        yield _machine(machine)
        if typed in (machine.handle, str(machine.number)):
            yield from _acts(machine, VERBS)
    if not typed:
        yield from _pages(user, "")
        return
    yield from _checkpoints(user, typed)
    for project in _projects(user, typed):
        yield _project(project)
        if project.spawns:
            yield _spawn(project)


def _pages(user: User, typed: str) -> Iterator[Found]:
    for place in (*navigation.MAIN, *navigation.MORE, *navigation.OWN):
        label = place.label.casefold()
        if place.seen_by(user) and any(part.startswith(typed) for part in (label, *label.split())):
            yield Found(place.label, "Page", place.icon, place.address)


def _machines(user: User, typed: str) -> QuerySet[Machine, Any]:
    """The newest first; of those with a number that begins so, the shortest."""
    found = (
        Machine.objects.permitted(user, Right.VIEW)
        .annotate(operable=_holds(user, Right.OPERATE) | Q(_holds(user, Right.SPAWN), created_by=user))
        .select_related("project", "source")
    )
    if typed in ("", "m"):
        return found.order_by("-number")[:EACH]
    if handle := HANDLE.fullmatch(typed):
        return found.filter(number__startswith=handle[1]).order_by("number")[:EACH]
    words = Q(prompt__icontains=typed) | Q(project__slug=typed) | Q(type=typed)
    return found.filter(words).order_by("-number")[:EACH]


def _holds(user: User, right: Right) -> Exists:
    return Exists(Project.objects.permitted(user, right).filter(pk=OuterRef("project_id")))


def _projects(user: User, typed: str) -> QuerySet[Project, Any]:
    spawns = Exists(Project.objects.permitted(user, Right.SPAWN).filter(pk=OuterRef("pk")))
    found = Project.objects.permitted(user, Right.VIEW).annotate(spawns=spawns)
    return found.filter(Q(slug__icontains=typed) | Q(name__icontains=typed)).order_by("slug")[:EACH]


def _checkpoints(user: User, typed: str) -> Iterator[Found]:
    """By handle only: `m7.c3`, `demo.c0`."""
    if "." not in typed:
        return
    found = Checkpoint.objects.permitted(user, Right.VIEW).filter(handle__startswith=typed)
    for each in found.select_related("shares").order_by("number")[:EACH]:
        yield Found(each.handle, f"Checkpoint, {each.standing}", "checkpoint", _at("checkpoint", each.handle))


def _machine(machine: Machine) -> Found:
    told = f"{machine.get_state_display()}, {machine.project.slug}: {machine.title}"
    return Found(
        machine.handle,
        told,
        look.MACHINES.get(machine.state, look.UNKNOWN).icon,
        _at("machine", machine.handle),
    )


def _acts(machine: Machine, verbs: Iterable[str]) -> Iterator[Found]:
    if not getattr(machine, "operable", False):
        return
    for verb in verbs:
        if verb in ACTS and verb in machine.verbs:
            label, icon = ACTS[verb]
            yield Found(f"{label} {machine.handle}…", machine.title, icon, _at("verb", machine.handle, verb))
        elif verb == "terminal" and not machine.ended:
            yield Found(
                f"Terminal of {machine.handle}", machine.title, "terminal", _at("console", machine.handle)
            )


def _project(project: Project) -> Found:
    return Found(project.slug, f"Project {project.name}", "branch", _at("project", project.slug))


def _spawn(project: Project) -> Found:
    address = f"{reverse('dashboard:spawn')}?project={project.slug}"
    return Found(f"Spawn in {project.slug}", "A new machine", "plus", address)


def _at(route: str, *args: str) -> str:
    return reverse(f"dashboard:{route}", args=args)
