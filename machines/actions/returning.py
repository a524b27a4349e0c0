"""Going back: where a machine may, what that would cost, and where its work goes on when it cannot. Queries only."""

from typing import NamedTuple

from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from checkpoints.reading import lines
from checkpoints.trust import fallback
from machines.actions.begin import require
from machines.models import Machine
from machines.states import State
from projects.errors import Conflict


class Fallback(NamedTuple):
    """What is gone back to when a checkpoint cannot be restored, and what that loses more: calls, and money."""

    handle: str
    turns: int
    micros: int
    sentence: str


class RollbackPreview(NamedTuple):
    """What a return would come to. `sentence` is why it is not possible."""

    checkpoint: str
    possible: bool
    sentence: str
    currency: str
    fallback: Fallback | None


def rollback_preview(machine: Machine, target: Checkpoint, line: fallback.Line = None) -> RollbackPreview:
    """What `rollback` would do now, and what it would cost if the target turned out not to be restorable.

    `line`: of the target, where it is known.
    """
    refusal = ""
    try:
        require_return(machine, target)
    except Conflict as conflict:
        refusal = str(conflict)
    currency = machine.project.currency
    return RollbackPreview(target.handle, not refusal, refusal, currency, _fallback(target, line, currency))


def _fallback(target: Checkpoint, line: fallback.Line, currency: str) -> Fallback | None:
    line = line or lines.line(target)
    found = next(iter(fallback.chain(target, line)), None)
    if found is None:
        return None
    lost = fallback.cost(target, found, line)
    return Fallback(found.handle, lost.turns, lost.micros, fallback.told(found.handle, lost, currency))


def require_return(machine: Machine, target: Checkpoint) -> bool:
    """Whether the present has to be kept first. Raises `Conflict` when the machine cannot go back there."""
    require(machine, "rollback")
    if target.guest_id != machine.guest_id:
        raise Conflict(
            f"Checkpoint {target.handle} lives in another guest than {machine.handle}. "
            f'Branch instead: autovibe branch {target.handle} "…"'
        )
    keeps_present = not _is_kept(machine)
    checkpoints.require_restorable(target, keeps_present=keeps_present)
    return keeps_present


def _is_kept(machine: Machine) -> bool:
    """Whether its last checkpoint is its present: taken as it ended, well, and nothing has run since."""
    if machine.state in {State.RUNNING, State.PAUSED}:
        return False
    if machine.guest.at_rest:
        return True
    last, began = machine.present, machine.run_started_at
    if (
        last is None
        or last.origin != machine.subject
        or last.kind != Checkpoint.Kind.FINAL
        or not last.usable
    ):
        return False
    return began is None or (last.captured_at is not None and last.captured_at > began)


def way_out(machine: Machine) -> str:
    """The last checkpoint that outlived its guest, in a backup or in another one, and what is lost since."""
    last = machine.present or machine.source
    found = fallback.haven(last, gone=machine.guest_id)
    if found is None:
        return "There is nothing to branch from."
    told = fallback.told(found.handle, fallback.cost(last, found), machine.project.currency)
    return f"Branch from {told}: bin/autovibe branch {found.handle}"
