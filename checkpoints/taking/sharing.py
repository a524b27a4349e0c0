"""Skipping: a checkpoint that found nothing changed shares the snapshot of the last one, and is as good as that.

What is its own is the agent's history, which has grown since: it is kept in our store, and written over the snapshot's
by whoever returns to it or branches from it (`manifests.overlay`).
"""

from django.conf import settings
from django.db import transaction

from checkpoints.contents import parts
from checkpoints.contents.captures import Entry, is_history
from checkpoints.models import Checkpoint
from checkpoints.states import State


def consider(checkpoint: Checkpoint) -> None:
    """Have it share the snapshot of the last on its line, if that holds the very same state."""
    parent = checkpoint.parent
    holder = parent.holder if parent else None
    if holder and _may(checkpoint, holder) and _only_history_grew(checkpoint, holder):
        _share(checkpoint, holder)


def _may(checkpoint: Checkpoint, holder: Checkpoint) -> bool:
    """Digests that are not known are equal to none. A memory goes with the very moment it was taken at."""
    asked = settings.CHECKPOINT_SKIP and checkpoint.may_share and checkpoint.kind == Checkpoint.Kind.AUTOMATIC
    return bool(
        asked
        and not (checkpoint.ram or holder.ram)
        and checkpoint.guest_id == holder.guest_id
        and checkpoint.manifest
        and holder.manifest
        and (checkpoint.work_digest and checkpoint.rest_digest)
        and (checkpoint.work_digest, checkpoint.rest_digest) == (holder.work_digest, holder.rest_digest)
    )


def _only_history_grew(checkpoint: Checkpoint, holder: Checkpoint) -> bool:
    """Whether all that differs are files of the agent's history that we have whole; none of it went away."""
    sides = parts.unshared(holder.manifest, checkpoint.manifest)
    old, new = ({entry["path"]: entry for entry in side} for side in sides)
    return old.keys() <= new.keys() and all(_is_covered(old.get(path), entry) for path, entry in new.items())


def _is_covered(before: Entry | None, after: Entry) -> bool:
    if before and _essence(before) == _essence(after):
        return True
    was_file = before is None or before["kind"] == "file"
    return bool(was_file and after["kind"] == "file" and is_history(after) and after["kept"])


def _essence(entry: Entry) -> Entry:
    """An entry without what says nothing of the guest."""
    return {name: value for name, value in entry.items() if name != "kept"}


@transaction.atomic
def _share(checkpoint: Checkpoint, holder: Checkpoint) -> None:
    """Retention takes the holder's row as well before it lets it go."""
    locked = Checkpoint.objects.select_for_update(no_key=True).get(pk=holder.pk)
    if locked.state == State.CAPTURED:
        mine = Checkpoint.objects.filter(pk=checkpoint.pk, state=State.REQUESTED, shares=None)
        if mine.update(shares=locked, snapshot=locked.snapshot):
            checkpoint.shares, checkpoint.snapshot = locked, locked.snapshot
