"""What a verb will do, said before it is done."""

from dataclasses import dataclass, field
from typing import Any

from budgets.models import Reservation
from budgets.resources import Resource
from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from dashboard import trust, words
from dashboard.trust import Return
from machines.keeping import memory, policies
from machines.keeping.memory import Price
from machines.models import Machine
from machines.size import CORES, MEMORY_MIB
from machines.states import SPAWNING, State
from machines.types import UnknownType
from projects.errors import Conflict

GRACE_SECONDS = 10  # before a machine that somebody terminates here begins to end
# What is said once a verb was accepted. The work begins then; the page tells when it is done.
SAID = {
    "checkpoint": "A checkpoint of {handle} is being taken.",
    "pause": "{handle} is being paused.",
    "resume": "{handle} is being resumed.",
    "terminate": f"{{handle}} ends in {GRACE_SECONDS} s. Until then that can be undone.",
}


@dataclass(frozen=True)
class Card:
    """A question with its consequences, and the button that says yes to it.

    `going_back` is what a return comes to; `memory` what it takes to keep that, too, where it may be asked for.
    """

    title: str
    sentences: list[str]
    button: str
    verb: str
    possible: bool
    danger: bool = False
    values: dict[str, str] = field(default_factory=dict)
    going_back: Return | None = None
    memory: Price | None = None
    with_memory: bool = False  # if nothing else is said


def of(verb: str, machine: Machine) -> Card:
    """Pause, resume, checkpoint or terminate."""
    handle = machine.handle
    title, sentences = {
        "checkpoint": (f"Take a checkpoint of {handle}", _checkpoint(machine)),
        "pause": (f"Pause {handle}", _pause()),
        "resume": (f"Resume {handle}", _resume(machine)),
        "terminate": (f"Terminate {handle}", _terminate(machine)),
    }[verb]
    return Card(
        title=f"{title}?",
        sentences=sentences if verb in machine.verbs else [impossible(verb, machine)],
        button=title,
        verb=verb,
        possible=verb in machine.verbs,
        danger=verb == "terminate",
        **(_memory(machine) if verb == "checkpoint" else {}),
    )


def _memory(machine: Machine) -> dict[str, Any]:
    return {"memory": memory.price(machine), "with_memory": _with_memory(machine)}


def _with_memory(machine: Machine) -> bool:
    """Whether its policy keeps the memory of those that are asked for."""
    try:
        return policies.policy_of(machine).ram
    except UnknownType:
        return False


def of_rollback(machine: Machine, target: Checkpoint) -> Card:
    """The return to one of the machine's own checkpoints."""
    title = f"Roll back {machine.handle} to {target.handle}"
    refusal = _refusal_to_return(machine, target)
    going_back = None if refusal else trust.of_return(target, machine)
    return Card(
        title=f"{title}?",
        sentences=_rollback(machine, target, going_back) if going_back else [refusal],
        button=title,
        verb="rollback",
        possible=not refusal,
        danger=True,
        values={"to": target.handle},
        going_back=going_back,
    )


def _refusal_to_return(machine: Machine, target: Checkpoint) -> str:
    if "rollback" not in machine.verbs or target.guest_id != machine.guest_id:
        return impossible("rollback", machine)
    try:
        checkpoints.require_restorable(target, keeps_present=machine.state in {State.RUNNING, State.PAUSED})
    except Conflict as conflict:
        return str(conflict)
    return ""


def impossible(verb: str, machine: Machine) -> str:
    """Why a verb is not offered."""
    state = machine.get_state_display().lower()
    if machine.verbs:
        return (
            f"{machine.handle} is {state}; {verb} is not possible now. Possible: {', '.join(machine.verbs)}."
        )
    return f"{machine.handle} is {state}; nothing can be asked of it until that is done."


def _checkpoint(machine: Machine) -> list[str]:
    return [
        f"The VM of {machine.handle} is frozen for a moment while its snapshot is taken; then it goes on.",
        "You can branch from the checkpoint or return to it later.",
    ]


def _pause() -> list[str]:
    return [
        "The VM is frozen in memory. It costs no money while it is paused, but keeps its memory on the node.",
        "It goes on exactly where it was when you resume it.",
    ]


def _resume(machine: Machine) -> list[str]:
    if machine.paused_for == Machine.PausedFor.BUDGET:
        return [
            "It was paused because a budget ended, and goes on by itself once there is room again. "
            "Before that its next call is refused as the last one was.",
            "The agent starts again in the same conversation, with its files as they are.",
        ]
    if machine.paused_for == Machine.PausedFor.BREAKER:
        return [
            "It was paused because its project spent too fast, and goes on by itself when the circuit breaker closes. "
            "Before that its calls are refused.",
        ]
    if machine.paused_for == Machine.PausedFor.GUEST:
        return [
            "The VM was switched off. It is powered on again, with its files as they are.",
            "The agent starts again in the same conversation.",
        ]
    return ["The VM goes on exactly where it was frozen."]


def _terminate(machine: Machine) -> list[str]:
    if machine.state in SPAWNING:
        return ["Nothing has run in it yet: it is called off, and its VM is destroyed. Nothing is lost."]
    left = Checkpoint.objects.of(machine.subject).count()
    kept = {0: "The final checkpoint stays", 1: "Its checkpoint and the final one stay"}.get(
        left, f"Its {left} checkpoints and the final one stay"
    )
    return [
        f"The agent is stopped, a final checkpoint is taken, and VM {machine.guest.vmid} is switched off.",
        f"{kept}: you can branch from them, or roll {machine.handle} back to one of them and let it go on.",
        _freed(machine),
        f"That begins {GRACE_SECONDS} seconds after you say so; until then it can be undone.",
    ]


def _freed(machine: Machine) -> str:
    """What its node and its budgets have again."""
    memory = words.size(MEMORY_MIB * 2**20)
    room = f"It frees {CORES} cores and {memory} of memory on {machine.guest.node}"
    held = Reservation.objects.filter(machine_id=machine.pk, state=Reservation.State.HELD)
    micros = sum(one.held.get(Resource.MONEY, 0) for one in held.only("held"))
    if not micros:
        return f"{room}."
    amount = words.money(micros, machine.project.currency, 4)
    return f"{room}. A model call under way is broken off; of {amount} held for it, the rest is given back."


def _rollback(machine: Machine, target: Checkpoint, going_back: Return) -> list[str]:
    kept = machine.state in {State.RUNNING, State.PAUSED}
    present = (
        "What it has now is kept in a checkpoint first, so you can return to it."
        if kept
        else "Its last checkpoint is its present; you can return to it."
    )
    return [
        f"{present} Then the disk and the conversation return to {target.handle} (“{target.why}”), "
        "and the agent goes on from there.",
        f"{_lost(machine, going_back)}Money that was spent stays spent. Later checkpoints stay in the list.",
        _fallback(going_back),
    ]


def _lost(machine: Machine, going_back: Return) -> str:
    """What was done since, where the machine came that way."""
    cost = going_back.cost
    if cost is None or not (cost.turns or cost.micros):
        return ""
    calls = f"{cost.turns:,} model call{'' if cost.turns == 1 else 's'}"
    return f"It leaves {calls} behind, which cost {words.money(cost.micros, machine.project.currency, 4)}. "


def _fallback(going_back: Return) -> str:
    if going_back.fallback is None:
        return "If it cannot be restored, there is no earlier one in its guest to fall back to."
    return f"If it cannot be restored, {going_back.fallback.sentence}, is tried next."
