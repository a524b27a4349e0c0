"""What may be asked of checkpoints: take one, find one. Nothing here talks to Proxmox."""

from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max, Q

from checkpoints.models import Checkpoint
from checkpoints.states import SETTLED, State
from events import actions as events
from guests.models import Guest
from operations import actions as operations
from projects.errors import Conflict, NotThere
from projects.models import Project, User


@transaction.atomic
def genesis(project: Project, template: Guest) -> Checkpoint:
    """The project's first checkpoint: the template as it is, with an empty workspace. Made once."""
    checkpoint, made = Checkpoint.objects.get_or_create(
        origin=project.subject,
        number=0,
        defaults={
            "project": project,
            "handle": f"{project.slug}.c0",
            "kind": Checkpoint.Kind.GENESIS,
            "guest": template,
            "why": "The template, before any machine",
        },
    )
    if made:
        checkpoint.move(State.CAPTURED, captured_at=checkpoint.created_at)
        events.record("checkpoint.captured", subject=checkpoint.subject, project_id=project.id)
    return checkpoint


def genesis_of(project: Project) -> Checkpoint:
    """Where the project's machines begin. Raises `Conflict` before a template is known."""
    template = Guest.objects.filter(template=True).first()
    if template is None:
        raise Conflict("No template is known yet. An operator runs: manage.py bootstrap")
    return genesis(project, template)


@transaction.atomic
def prepare(
    *,
    project: Project,
    guest: Guest,
    origin: str,
    name: str,
    kind: Checkpoint.Kind,
    why: str,
    parent: Checkpoint | None,
    begun: bool = False,
    call_id: UUID | None = None,
) -> Checkpoint:
    """The row of a checkpoint to be taken; `name` is its origin's handle ("m12"). The caller sees to the taking."""
    Guest.objects.select_for_update().get(pk=guest.pk)  # numbers are given one at a time
    last = Checkpoint.objects.filter(origin=origin).aggregate(last=Max("number"))["last"] or 0
    number = last + 1
    return Checkpoint.objects.create(
        project=project,
        guest=guest,
        origin=origin,
        number=number,
        handle=f"{name}.c{number}",
        snapshot=f"c{number}",
        kind=kind,
        why=why,
        parent=parent,
        begun=begun,
        call_id=call_id,
    )


@transaction.atomic
def take(checkpoint: Checkpoint, *, by: User | None) -> Checkpoint:
    """Have a prepared checkpoint taken by a worker, after whatever is under way in its guest."""
    operations.begin(
        "checkpoint",
        subject=checkpoint.origin,
        project=checkpoint.project,
        lock=checkpoint.guest.subject,
        task="checkpoints.tasks.take",
        by=by,
        checkpoint=str(checkpoint.id),
    )
    return checkpoint


def is_settled(checkpoint_id: UUID) -> bool:
    """Whether its taking has ended, well or not."""
    return Checkpoint.objects.filter(pk=checkpoint_id, state__in=SETTLED).exists()


def find(reference: str, *, user: User | AnonymousUser) -> Checkpoint:
    """The checkpoint with that handle ("m12.c3") or id, if `user` may see it."""
    visible = Checkpoint.objects.permitted(user, "view_project")
    visible = visible.select_related("project", "guest", "manifest", "parent")
    try:
        checkpoint = visible.filter(Q(handle=reference) | Q(pk=_uuid(reference))).first()
    except ValidationError:
        checkpoint = None
    if checkpoint is None:
        raise NotThere(f"There is no checkpoint {reference!r} that you may see.")
    return checkpoint


def require_usable(checkpoint: Checkpoint) -> None:
    """Raises `Conflict` when nothing can be spawned from it or restored to it."""
    if checkpoint.state == State.REQUESTED:
        raise Conflict(f"Checkpoint {checkpoint.handle} is still being taken; wait until it is captured.")
    if not checkpoint.usable:
        raise Conflict(
            f"Checkpoint {checkpoint.handle} is broken: {checkpoint.error} Choose "
            f"{checkpoint.parent.handle if checkpoint.parent else 'another one'} instead."
        )


def _uuid(reference: str) -> UUID | None:
    try:
        return UUID(reference)
    except ValueError:
        return None
