"""What follows when an operation is made to end before it is done, said before that is asked for."""

from checkpoints.models import Checkpoint
from checkpoints.states import State
from dashboard.things import Thing
from operations.models import Operation

# What fails the machine when it fails; see `machines.work.context.failed`.
_FAIL = frozenset({"pause", "resume", "message", "rollback", "terminate", "cancel"})
_FAILS = "{name} fails: its agent may call no model any more, and its VM is switched off."
_ENDS: dict[str, str] = {
    **dict.fromkeys(_FAIL, _FAILS),
    "spawn": "{name} fails before its agent has begun, and its VM is destroyed. Nothing is lost but the time.",
    "restore_file": "The file is not put back; {name} stays as it is.",
    "checkpoint": "This checkpoint of {name} is not taken. Those it has stay.",
    "verify": "The proof is left off. Nothing is said against {name}, and nothing for it.",
    "export": "{name} does not become durable. What was copied for that is removed.",
    "prune": "The snapshot stays where it is, and keeps its room on the storage.",
    "drop_snapshot": "The snapshot stays where it is, and keeps its room on the storage.",
    "destroy": "{name} stays on its node, with its disk.",
    "terminate_soon": "{name} is not terminated: it goes on.",
    "halt": "{name} stays as it is, and may still be running.",
}
# What is said once that was asked for, where it is more than that it ends.
SAID = {"terminate_soon": "{name} is not terminated: it goes on."}


def loses(operation: Operation) -> bool:
    """Whether work may be lost by it: a machine that ran fails."""
    return operation.verb in _FAIL and operation.started_at is not None


def of(operation: Operation, thing: Thing) -> list[str]:
    """What follows when it is made to end: what stops, what is kept, and what is not done."""
    said = [_ENDS.get(operation.verb, "{name} stays as it is now.").format(name=thing.name)]
    if operation.verb in _FAIL:
        said.append(_kept(operation, thing))
    asked = "What Proxmox has been asked for already cannot be taken back."
    return [*said, asked] if operation.started_at else said


def _kept(operation: Operation, thing: Thing) -> str:
    left = Checkpoint.objects.of(operation.subject).filter(state=State.CAPTURED).count()
    if not left:
        return f"{thing.name} has no checkpoint: what its VM holds cannot be gone on with."
    noun = "checkpoint stays" if left == 1 else "checkpoints stay"
    return f"Its {left} {noun}: you can roll {thing.name} back to one, or branch. What came after the last is lost."
