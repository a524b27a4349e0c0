"""Finding machines: by the handle or id that somebody gave, or by what they left."""

from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q

from checkpoints.models import Checkpoint
from machines.models import Machine
from projects.errors import NotThere
from projects.models import User


def find(reference: str, *, user: User | AnonymousUser, permission: str = "view_project") -> Machine:
    """The machine with that handle ("m12") or id, if `user` may see it."""
    visible = (
        Machine.objects.permitted(user, permission)
        .with_spending()
        .select_related("project__checkpoint_rules", "guest", "source", "present", "replays", "created_by")
    )
    if machine := visible.filter(_reference(reference)).first():
        return machine
    raise NotThere(f"There is no machine {reference!r} that you may see.")


def _reference(reference: str) -> Q:
    if (number := Machine.number_of(reference)) is not None:
        return Q(number=number)
    try:
        return Q(pk=UUID(reference))
    except ValueError:
        return Q(pk=None)


def machine_of(checkpoint: Checkpoint) -> Machine | None:
    """The machine that left the checkpoint; None for a genesis."""
    kind, _, key = checkpoint.origin.partition(":")
    known = Machine.objects.select_related("project", "guest", "present")
    return known.filter(pk=key).first() if kind == "machine" else None
