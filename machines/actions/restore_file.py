"""Asking for one file of a checkpoint back, into a machine that is there."""

from django.db import transaction

from checkpoints.contents import files
from checkpoints.models import Checkpoint
from machines.actions.begin import begin, record, require
from machines.actions.keeping import prepare
from machines.models import Machine
from operations.models import Operation
from projects.errors import Invalid, NotThere
from projects.models import User


@transaction.atomic
def restore_file(
    machine: Machine, checkpoint: Checkpoint, path: str, *, by: User, delete: bool = False
) -> Operation:
    """Write that file of the checkpoint into the machine's workspace; the present is kept in a checkpoint first.

    `delete`: where the checkpoint has no such file, the machine's is deleted. Raises `Conflict` when the machine is
    not running or paused, or the content is not kept; `NotThere` for a file that the checkpoint has not; `Invalid` for
    a checkpoint of another project, or a path that leads out of the workspace.
    """
    require(machine, "restore-file")
    if checkpoint.project_id != machine.project_id:
        raise Invalid(
            f"Checkpoint {checkpoint.handle} belongs to another project than {machine.handle}: "
            "its files are not for this one."
        )
    if any(part in ("", ".", "..") for part in path.split("/")):  # an absolute one begins with ""
        raise Invalid(
            "Only files of the workspace come back alone: give a path relative to it, without . and .."
        )
    _require_content(checkpoint, path, delete=delete)
    why = f"Before {path} of {checkpoint.handle}"
    kept = prepare(machine, Checkpoint.Kind.MANUAL, why, Checkpoint.Trigger.RETURN)
    record(machine, "machine.restoring_file", by=by, path=path, source=checkpoint.handle)
    return begin(
        "restore_file", machine, by=by, checkpoint=str(kept.id), target=str(checkpoint.id), path=path
    )


def _require_content(checkpoint: Checkpoint, path: str, *, delete: bool) -> None:
    try:
        files.content(checkpoint, path)
    except NotThere:
        if not delete:
            raise NotThere(
                f"Checkpoint {checkpoint.handle} has no file {path!r}. To have it deleted: --delete"
            ) from None
