"""One file back: the present is kept, then a file of a checkpoint is written into the machine's workspace.

A paused machine is woken for it, so that its guest agent answers; its own agent is held still meanwhile.
"""

from checkpoints import work as checkpoints
from checkpoints.contents import files
from checkpoints.states import State as CheckpointState
from events import actions as events
from guests import work as guests
from machines.models import Machine
from machines.states import State
from machines.work import bundle
from machines.work.context import Work, blocked, load
from operations.engine import Outcome, Plan, Step
from operations.models import Operation
from projects.errors import NotThere, Refusal
from proxmox import errors

_NOT_WRITTEN = "not_written"  # the argument that says why


def _write(work: Work) -> Outcome:
    """Write the file, or delete it where the checkpoint has none; whatever it was, it is in a checkpoint now."""
    if _why_not(work):
        return None
    checkpoints.captured(work.kept)
    if work.kept is None or work.kept.state != CheckpointState.CAPTURED:
        why = work.kept.error if work.kept else ""
        raise errors.Refused(f"The present could not be kept, so nothing was written: {why}")
    if not guests.is_running(work.machine.guest):
        raise errors.Refused(f"Its VM is off. Resume {work.machine.handle}, and ask again.")
    content, mode = _file(work)
    bundle.prepare(work.machine)
    bundle.write_file(work.machine, str(work.operation.id), work.operation.arguments["path"], content, mode)
    return None


def _file(work: Work) -> tuple[bytes | None, int]:
    """Content and mode as the checkpoint has them; no content where it has no such file."""
    assert work.target is not None
    path = work.operation.arguments["path"]
    try:
        return files.content(work.target, path), files.find(work.target, path)["mode"]
    except NotThere:  # it was asked to be deleted then
        return None, 0
    except Refusal as refusal:
        raise errors.Refused(str(refusal)) from None


def _not_written(work: Work, sentence: str) -> None:
    """The agent goes on, and a paused machine is paused again, before that is said."""
    work.operation.arguments[_NOT_WRITTEN] = sentence.partition(": ")[2]
    Operation.objects.filter(pk=work.operation.pk).update(arguments=work.operation.arguments)


def _why_not(work: Work) -> str:
    return str(work.operation.arguments.get(_NOT_WRITTEN, ""))


def _freeze_again(work: Work) -> Outcome:
    state = Machine.objects.values_list("state", flat=True).get(pk=work.machine.pk)
    return guests.suspend(work.machine.guest) if state == State.PAUSED else None


def _told(work: Work) -> Outcome:
    if why := _why_not(work):
        raise errors.Refused(why)
    return None


def _restored(work: Work) -> None:
    _record(work, "machine.file_restored")


def _failed(work: Work, sentence: str) -> None:
    """Nothing was written; the machine is what it was."""
    checkpoints.broken(work, sentence)
    _record(work, "machine.file_not_restored", sentence=sentence)


def _record(work: Work, kind: str, **data: object) -> None:
    machine, actor = work.machine, work.operation.requested_by
    events.record(
        kind,
        subject=machine.subject,
        project_id=machine.project_id,
        by=actor.username if actor else events.SYSTEM,
        handle=machine.handle,
        path=work.operation.arguments["path"],
        source=work.target.handle if work.target else "",
        kept=work.kept.handle if work.kept else "",
        **data,
    )


# The agent is let go on only once the file is there, and what was there before is kept.
_KEEP = [step for step in checkpoints.STEPS if step.name != "thaw"]
(_THAW,) = (step for step in checkpoints.STEPS if step.name == "thaw")

PLAN: Plan[Work] = Plan(
    load=load,
    steps=(
        Step("wake", "Waking the VM", lambda work: guests.unfreeze(work.machine.guest)),
        *_KEEP,
        Step("write", "Writing the file", _write, tolerate=_not_written),
        _THAW,
        Step("freeze", "Pausing the VM again", _freeze_again),
        Step("end", "Writing the file", _told),
    ),
    succeed=_restored,
    fail=_failed,
    blocked=blocked,
)
