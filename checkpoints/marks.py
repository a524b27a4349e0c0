"""What people say of checkpoints: pins, names and notes. None of it changes what a checkpoint holds."""

import re
from typing import Any

from django.db import transaction

from checkpoints.models import Checkpoint
from checkpoints.states import State
from checkpoints.telling import record
from projects.errors import Conflict, Invalid
from projects.models import Project, User

NAME_MAX = 100
NOTE_MAX = 10_000
# Where a checkpoint is asked for, its handle counts: nothing else may look like one.
_HANDLE = re.compile(r"[a-z0-9-]+\.c[0-9]+", re.IGNORECASE)


@transaction.atomic
def mark(
    checkpoint: Checkpoint,
    *,
    by: User,
    pinned: bool | None = None,
    name: str | None = None,
    note: str | None = None,
) -> Checkpoint:
    """Set what is given; "" takes a name or a note away. The caller checks the right.

    A pinned one is kept whatever the project's retention says; one with a name is a milestone. Raises `Invalid`, and
    `Conflict` for a name that another of the project has, and for a pin on what is gone.
    """
    if name is not None:  # names are given one at a time: each is unique in its project
        Project.objects.select_for_update(no_key=True).get(pk=checkpoint.project_id)
    current = Checkpoint.objects.select_for_update(no_key=True).get(pk=checkpoint.pk)
    asked: dict[str, Any] = {}
    if pinned is not None:
        asked["pinned"] = _pin(current, pinned)
    if name is not None:
        asked["name"] = _name(current, name)
    if note is not None:
        asked["note"] = _note(note)
    changed = {field: value for field, value in asked.items() if getattr(current, field) != value}
    if changed:
        Checkpoint.objects.filter(pk=current.pk).update(**changed)
        before = {field: getattr(current, field) for field in changed}
        record("checkpoint.marked", current, by=by.username, before=before, **changed)
    for field, value in asked.items():
        setattr(checkpoint, field, value)
    return checkpoint


def _pin(checkpoint: Checkpoint, pinned: bool) -> bool:
    if pinned and checkpoint.state in (State.PRUNING, State.PRUNED):
        raise Conflict(
            f"Checkpoint {checkpoint.handle} was pruned: only its record is left, and that is kept anyway."
        )
    return pinned


def _name(checkpoint: Checkpoint, name: str) -> str:
    name = name.strip()
    if len(name) > NAME_MAX:
        raise Invalid(f"A name has at most {NAME_MAX} characters; this one has {len(name)}.")
    if not name.isprintable():
        raise Invalid("A name is one line of text.")
    if _HANDLE.fullmatch(name):
        raise Invalid(f"{name!r} looks like the handle of a checkpoint; choose another name.")
    others = Checkpoint.objects.filter(project=checkpoint.project_id, name__iexact=name)
    if name and (other := others.exclude(pk=checkpoint.pk).first()):
        raise Conflict(f"Checkpoint {other.handle} has the name {other.name!r} already.")
    return name


def _note(note: str) -> str:
    if len(note) > NOTE_MAX:
        raise Invalid(f"A note has at most {NOTE_MAX:,} characters; this one has {len(note):,}.")
    if "\x00" in note:
        raise Invalid("The note holds a NUL character.")
    return note.strip()
