"""The ways on from the end of a machine: from its last checkpoint, itself or as a branch, or from the start."""

from typing import Any, NamedTuple

from django.template import Context

from checkpoints.models import Checkpoint
from checkpoints.states import State
from machines.actions.returning import require_return
from machines.models import Machine
from projects.errors import Conflict


class WayBack(NamedTuple):
    """`returns`: whether the machine itself can go on from there; else `sentence` says why not."""

    checkpoint: Checkpoint
    returns: bool
    sentence: str


def of(machine: Machine, last: Checkpoint | None = None) -> WayBack | None:
    """None for a machine that has not ended, or left nothing to go on from. `last`: its last good one, if known."""
    if not machine.ended or not (last := last or _last(machine)):
        return None
    if last.guest_id == machine.guest_id:
        last.guest = machine.guest
    if machine.exit_code == 0:
        return WayBack(last, False, "Its agent was done. A branch goes on with its files and conversation.")
    try:
        require_return(machine, last)
    except Conflict as conflict:
        return WayBack(last, False, str(conflict))
    return WayBack(last, True, "")


def _last(machine: Machine) -> Checkpoint | None:
    left = Checkpoint.objects.of(machine.subject).filter(state=State.CAPTURED)
    return left.order_by("-number").first()


def go_on(context: Context, machine: Machine) -> dict[str, Any]:
    """Template tag, of parts/undo.html: what whoever looks at an ended machine may do to have it go on."""
    operable, spawns = context["operable"], context["spawns"]
    good = [point.checkpoint for point in context["points"] if point.checkpoint.state == State.CAPTURED]
    return {
        "machine": machine,
        "way": of(machine, good[-1] if good else None) if operable or spawns else None,
        "operable": operable,
        "spawns": spawns,
        "csrf_token": context.get("csrf_token"),
    }
