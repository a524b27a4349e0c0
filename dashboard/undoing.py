"""The way back from the end of a machine: its last checkpoint, to go on from there or to branch from it."""

from typing import Any, NamedTuple

from django.template import Context

from checkpoints.models import Checkpoint
from checkpoints.states import State
from machines import actions
from machines.models import Machine
from projects.permissions import operates
from projects.roles import Right


class WayBack(NamedTuple):
    """`returns`: whether the machine itself can go on from there; else `sentence` says why not."""

    checkpoint: Checkpoint
    returns: bool
    sentence: str


def of(machine: Machine) -> WayBack | None:
    """None for a machine that has not ended, or left nothing to go on from."""
    left = Checkpoint.objects.of(machine.subject).filter(state=State.CAPTURED)
    last = left.order_by("-number").first() if machine.ended else None
    if last is None:
        return None
    if machine.exit_code == 0:
        return WayBack(last, False, "Its agent was done. A branch goes on with its files and conversation.")
    preview = actions.rollback_preview(machine, last)
    return WayBack(last, preview.possible, preview.sentence)


def go_on(context: Context, machine: Machine) -> dict[str, Any]:
    """Template tag, of parts/undo.html: what whoever looks at an ended machine may do to have it go on."""
    user = context["request"].user
    operable = machine.ended and operates(user, machine)
    spawns = machine.ended and user.has_perm(f"projects.{Right.SPAWN}", machine.project)
    return {
        "machine": machine,
        "way": of(machine) if operable or spawns else None,
        "operable": operable,
        "spawns": spawns,
        "csrf_token": context.get("csrf_token"),
    }
