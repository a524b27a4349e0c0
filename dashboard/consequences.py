"""What a verb will do, said before it is done."""

from dataclasses import dataclass, field

from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from machines.models import Machine
from machines.states import SPAWNING, State
from projects.errors import Conflict

# What is said once a verb was accepted. The work begins then; the page tells when it is done.
SAID = {
    "checkpoint": "A checkpoint of {handle} is being taken.",
    "pause": "{handle} is being paused.",
    "resume": "{handle} is being resumed.",
    "terminate": "{handle} is being terminated.",
}


@dataclass(frozen=True)
class Card:
    """A question with its consequences, and the button that says yes to it."""

    title: str
    sentences: list[str]
    button: str
    verb: str
    possible: bool
    danger: bool = False
    values: dict[str, str] = field(default_factory=dict)


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
    )


def of_rollback(machine: Machine, target: Checkpoint) -> Card:
    """The return to one of the machine's own checkpoints."""
    title = f"Roll back {machine.handle} to {target.handle}"
    refusal = _refusal_to_return(machine, target)
    possible = not refusal
    return Card(
        title=f"{title}?",
        sentences=[refusal] if refusal else _rollback(machine, target),
        button=title,
        verb="rollback",
        possible=possible,
        danger=True,
        values={"to": target.handle},
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
        return ["Nothing has run in it yet: it is called off, and its VM is destroyed."]
    left = Checkpoint.objects.of(machine.subject).count()
    kept = {0: "The final checkpoint stays", 1: "Its checkpoint and the final one stay"}.get(
        left, f"Its {left} checkpoints and the final one stay"
    )
    return [
        f"The agent is stopped, a final checkpoint is taken, and VM {machine.guest.vmid} is switched off.",
        f"{kept}: you can branch from them, or roll {machine.handle} back to one of them and let it go on.",
    ]


def _rollback(machine: Machine, target: Checkpoint) -> list[str]:
    kept = machine.state in {State.RUNNING, State.PAUSED}
    present = (
        "What it has now is kept in a checkpoint first, so you can return to it."
        if kept
        else "Its last checkpoint is its present; you can return to it."
    )
    return [
        f"{present} Then the disk and the conversation return to {target.handle} (“{target.why}”), "
        "and the agent goes on from there.",
        "Money that was spent stays spent. Later checkpoints stay in the list.",
    ]
