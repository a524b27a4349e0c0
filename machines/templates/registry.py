"""What the control plane knows of its templates: a guest row for each build, and a beginning in projects."""

import uuid
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from checkpoints.states import State as CheckpointState
from guests import actions as guests
from guests.models import Guest
from guests.reconcile import look_at_disk
from guests.states import EXISTING, State
from machines.templates.build import Step
from machines.templates.errors import BuildError
from machines.templates.recipe import Recipe
from projects.models import Project

_NAMESPACE = uuid.UUID("0b9f5a52-6f0e-4c0a-9a3e-6d1f3c1b7a90")


@contextmanager
def alone(name: str) -> Iterator[None]:
    """One build of a recipe at a time. Raises `BuildError` while another command is at it."""
    key = lock(name)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        if not cursor.fetchone()[0]:
            raise BuildError(f"Template {name} is being built by another command now.")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [key])


def lock(name: str) -> int:
    """The key of the advisory lock that a build holds."""
    return zlib.crc32(f"template {name}".encode())


def present(recipe: Recipe, digest: str, *, node: str, vmid: int | None) -> Guest | None:
    """The latest build of that recipe, finished or not, on that node and with that VMID where they are given."""
    fit = [
        guest
        for guest in _generations(recipe, digest)
        if guest.state in EXISTING and node in {"", guest.node} and vmid in {None, guest.vmid}
    ]
    return fit[-1] if fit else None


def begin(recipe: Recipe, digest: str, *, node: str, vmid: int | None) -> Guest:
    """The row of a new build. Its id follows from what is built, so that a later command finds it again."""
    if vmid and Guest.objects.filter(vmid=vmid).exists():
        raise BuildError(f"VMID {vmid} is one of autovibe's own already: choose another one.")
    identity = _identity(recipe, digest, sum(1 for _ in _generations(recipe, digest)))
    return Guest.objects.create(id=identity, vmid=vmid or guests.fresh_vmid(), node=node)


def _identity(recipe: Recipe, digest: str, generation: int) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, f"{recipe.name} {digest} {generation}")


def _generations(recipe: Recipe, digest: str) -> Iterator[Guest]:
    generation = 0
    while guest := Guest.objects.filter(pk=_identity(recipe, digest, generation)).first():
        yield guest
        generation += 1


# --- beginnings ---


def registration(projects: list[Project]) -> Step:
    """The step that offers the template in those projects."""
    names = ", ".join(project.slug for project in projects) or "no project yet"
    return Step(
        f"Offering it in {names}",
        lambda build: build.guest.template and not without(build.guest, projects),
        lambda build: offer(build.guest, build.recipe, projects),
    )


def offer(guest: Guest, recipe: Recipe, projects: Iterable[Project]) -> None:
    """The template is there: each project gets a checkpoint to begin at. Repeated, it makes what is missing."""
    look_at_disk(guest)
    with transaction.atomic():
        guest.refresh_from_db()  # reconciliation may have found it meanwhile
        if guest.state == State.ALLOCATED:
            guest.move(State.PRESENT)
        # Only now: what is marked so is offered to people.
        guest.template = True
        guest.save(update_fields=["template"])
        for project in projects:
            checkpoints.genesis(project, guest, why=f"{recipe.title} template")


def without(guest: Guest, projects: list[Project]) -> list[Project]:
    """The projects that cannot begin there yet."""
    having = Checkpoint.objects.filter(guest=guest, kind=Checkpoint.Kind.GENESIS)
    known = set(having.values_list("project_id", flat=True))
    return [project for project in projects if project.id not in known]


@transaction.atomic
def forget(guest: Guest) -> None:
    """The template is gone: nothing begins there any more."""
    for checkpoint in Checkpoint.objects.filter(guest=guest, state=CheckpointState.CAPTURED):
        checkpoint.move(CheckpointState.BROKEN, error="Its template was removed.")
    guest.refresh_from_db()
    if guest.state != State.CONDEMNED:
        guest.move(State.CONDEMNED)
    guest.move(State.GONE)
