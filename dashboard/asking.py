"""The verbs at the head of a machine's page: each with its key, and where it cannot be asked now, with the reason."""

from dataclasses import dataclass

from dashboard import consequences
from machines.models import Machine
from machines.states import State


@dataclass(frozen=True)
class Ask:
    """`asks_first`: it opens a card that says what it does. `refusal`: why it is not possible now, or ""."""

    verb: str
    title: str
    icon: str
    key: str
    hint: str
    asks_first: bool
    refusal: str


_VERBS = {
    "resume": ("Resume", "play", "r", "Go on where it was", False),
    "checkpoint": ("Checkpoint now…", "checkpoint", "c", "Keep what it has now, and go on", True),
    "pause": ("Pause", "pause", "p", "Freeze the VM in memory until you resume it", False),
    "terminate": ("Terminate…", "stop", "t", "End it; its checkpoints are kept", True),
}
_PAUSES = {State.PAUSED, State.RESUMING}


def of(machine: Machine) -> list[Ask]:
    """Of a machine that has not ended; pause and resume take turns."""
    if machine.ended:
        return []
    left_out = "pause" if machine.state in _PAUSES else "resume"
    possible = machine.verbs
    return [
        Ask(verb, *words, refusal="" if verb in possible else consequences.impossible(verb, machine))
        for verb, words in _VERBS.items()
        if verb != left_out
    ]
