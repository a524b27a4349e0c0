"""What may be asked of checkpoints: take one, find one. Nothing here talks to Proxmox."""

from typing import NamedTuple
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max, Q

from checkpoints.models import Checkpoint
from checkpoints.states import SETTLED, State
from events import actions as events
from guests.models import Guest
from guests.states import State as GuestState
from operations import actions as operations
from operations.models import Operation
from projects.errors import Conflict, NotThere
from projects.models import Project, User


class Position(NamedTuple):
    """Where the books stood: the model call it is taken for, the machine's last ledger entry, what it had spent."""

    call_id: UUID | None = None
    call_number: int | None = None
    ledger_entry: int | None = None
    spent_micros: int = 0
    marks: dict[str, int] = {}


@transaction.atomic
def genesis(
    project: Project, template: Guest, *, why: str = "The template, before any machine"
) -> Checkpoint:
    """Where a project's machines may begin: a template as it is, with an empty workspace. Made once for each."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # numbers are given one at a time
    known = Checkpoint.objects.filter(origin=project.subject)
    if present := known.filter(guest=template).first():
        return present
    number = known.count()
    checkpoint = Checkpoint.objects.create(
        origin=project.subject,
        number=number,
        project=project,
        handle=f"{project.slug}.c{number}",
        kind=Checkpoint.Kind.GENESIS,
        guest=template,
        why=why,
        trigger=Checkpoint.Trigger.GENESIS,
    )
    checkpoint.move(State.CAPTURED, captured_at=checkpoint.created_at)
    events.record("checkpoint.captured", subject=checkpoint.subject, project_id=project.id)
    return checkpoint


def genesis_of(project: Project) -> Checkpoint:
    """Where the project's machines begin unless something else is said. Raises `Conflict` without a template."""
    first = Checkpoint.objects.filter(origin=project.subject, state=State.CAPTURED).order_by("number").first()
    if first:
        return first
    template = Guest.objects.filter(template=True, state=GuestState.PRESENT).first()
    if template is None:
        raise Conflict(
            "No template is known yet. An operator runs: manage.py bootstrap, or manage.py template build"
        )
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
    trigger: Checkpoint.Trigger = Checkpoint.Trigger.REQUEST,
    ram: bool = False,
    may_share: bool = True,
    position: Position | None = None,
) -> Checkpoint:
    """The row of a checkpoint to be taken; `name` is its origin's handle ("m12"). The caller sees to the taking."""
    Guest.objects.select_for_update(no_key=True).get(pk=guest.pk)  # numbers are given one at a time
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
        trigger=trigger,
        ram=ram,
        may_share=may_share,
        **(position or Position())._asdict(),
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


def is_stuck(checkpoint_id: UUID) -> bool:
    """Whether what is under way in its guest waits for a person, so that its taking may last any time."""
    checkpoint = Checkpoint.objects.select_related("guest").get(pk=checkpoint_id)
    return Operation.objects.needing_operator().filter(lock=checkpoint.guest.subject).exists()


def find(reference: str, *, user: User | AnonymousUser) -> Checkpoint:
    """The checkpoint with that handle ("m12.c3") or id, if `user` may see it."""
    visible = Checkpoint.objects.permitted(user, "view_project")
    visible = visible.select_related("project", "guest__machine", "manifest", "parent__manifest", "shares")
    try:
        checkpoint = visible.filter(Q(handle=reference) | Q(pk=_uuid(reference))).first()
    except ValidationError:
        checkpoint = None
    if checkpoint is None:
        raise NotThere(f"There is no checkpoint {reference!r} that you may see.")
    return checkpoint


def require_usable(checkpoint: Checkpoint) -> None:
    """Raises `Conflict` when nothing can be spawned from it or restored to it."""
    if checkpoint.usable:
        return
    if checkpoint.state == State.REQUESTED:
        sentence = f"Checkpoint {checkpoint.handle} is still being taken; wait until it is captured."
        raise Conflict(sentence, state=checkpoint.state)
    why = f"is broken: {checkpoint.error}" if checkpoint.state == State.BROKEN else "was not kept."
    sentence = f"Checkpoint {checkpoint.handle} {why} Choose {_instead_of(checkpoint)} instead."
    raise Conflict(sentence, state=checkpoint.state)


def _instead_of(checkpoint: Checkpoint) -> str:
    ancestor = checkpoint.parent
    while ancestor and not ancestor.usable:
        ancestor = ancestor.parent
    return ancestor.handle if ancestor else "another one"


def hold(checkpoint: Checkpoint) -> None:
    """Have nobody delete it before the caller's transaction has said what it is needed for.

    Raises `Conflict` when it is gone already: retention works meanwhile.
    """
    if checkpoint.kind != Checkpoint.Kind.GENESIS:  # which always stays
        Guest.objects.select_for_update(no_key=True).get(pk=checkpoint.guest_id)
        checkpoint.refresh_from_db(fields=["state", "error"])
    require_usable(checkpoint)


def require_branchable(checkpoint: Checkpoint) -> None:
    """Raises `Conflict` when no machine can be made from it, with the reason."""
    require_usable(checkpoint)
    branching = checkpoint.branching
    if branching.strategy is None:
        raise Conflict(f"Checkpoint {checkpoint.handle} cannot be branched from: {branching.sentence}")


def require_restorable(checkpoint: Checkpoint, *, keeps_present: bool) -> None:
    """Raises `Conflict` when its guest cannot be put back to it.

    `keeps_present`: the present is snapshotted first, so that the checkpoint is not the newest any more.
    """
    require_usable(checkpoint)
    if checkpoint.guest.gone:
        raise Conflict(
            f"VM {checkpoint.guest.vmid} is gone from Proxmox; nothing can go back in it. "
            f"If there is a backup, branch from that: autovibe branch {checkpoint.handle}"
        )
    known = checkpoint.guest.abilities
    if known is None or known.rolls_back_any or (checkpoint.newest and not keeps_present):
        return
    storage = checkpoint.guest.storage
    raise Conflict(
        f"Storage {storage} can only go back to its newest snapshot, and {checkpoint.handle} would not be it"
        f"{', since the present is kept first' if keeps_present else ''}. "
        f'Branch instead: autovibe branch {checkpoint.handle} "…"'
    )


def _uuid(reference: str) -> UUID | None:
    try:
        return UUID(reference)
    except ValueError:
        return None
