"""Saying something to an agent: heard as the next turn of its conversation, once, in order, whoever dies meanwhile."""

from django.db import transaction

from checkpoints.models import Checkpoint
from machines.actions.begin import begin, record
from machines.actions.keeping import prepare
from machines.actions.spawn import PROMPT_CHARACTERS_MAX
from machines.actions.verbs import end
from machines.models import Machine, Message
from machines.states import ENDED, VERBS, State
from operations.models import Operation
from projects.errors import Conflict, Invalid
from projects.models import User

WAITING_MAX = 100
TEXT_IN_EVENTS = 200


@transaction.atomic
def message(machine: Machine, text: str, *, by: User, now: bool = False) -> Message:
    """Say `text` to the machine's agent, as the next turn of its conversation.

    It is heard when the agent ends its turn. With `now` the agent of a running machine is interrupted: a checkpoint
    is taken, and it is started again with the text. One that is paused hears it when it is resumed.

    Raises `Invalid` for a text that is empty or too long, and `Conflict` where nobody would hear it.
    """
    _check(text)
    related = ("project", "guest", "source", "present")
    locked = Machine.objects.select_for_update(of=("self",), no_key=True).select_related(*related)
    current = locked.get(pk=machine.pk)  # its agent may be ending its turn at this very moment
    _require_hearing(current, now=now)
    on_return = current.state in {State.PAUSING, State.PAUSED}
    said = Message.objects.create(
        machine=current, text=text, said_by=by, author=by.username, at_once=now or on_return
    )
    shown = text if len(text) <= TEXT_IN_EVENTS else f"{text[: TEXT_IN_EVENTS - 1]}…"
    record(current, "machine.message", by=by, message=said.pk, text=shown, at_once=said.at_once)
    if now and current.state == State.RUNNING:
        _next_turn(current, by=by, why=f"Before what {by.username} said")
    return said


@transaction.atomic
def turn_ended(machine: Machine, *, sentence: str) -> Operation:
    """The agent ended by itself: it hears what was said meanwhile, or the machine ends, too."""
    if Message.objects.waiting(machine).exists():
        return _next_turn(machine, by=None, why="The end of a turn, before what was said")
    return end(machine, sentence=sentence)


def refusal(machine: Machine) -> str:
    """Why nothing can be said to its agent; "" where it can."""
    state = f"Machine {machine.handle} is {machine.get_state_display().lower()}"
    if machine.state in ENDED:
        last = machine.present or machine.source
        return (
            f"{state}: nobody is there to hear it. "
            f'Go on from its last checkpoint: autovibe branch {last.handle} "…"'
        )
    if machine.state not in VERBS["message"]:
        return f"{state}: its agent hears nothing any more."
    return "" if machine.hears else _why_deaf(machine)


def _why_deaf(machine: Machine) -> str:
    if machine.replays_id:
        return (
            f"Machine {machine.handle} is a replay: its answers are in a record, which knows nothing of this."
        )
    return (
        f"An agent of type {machine.type} holds no conversation: it hears nothing after its prompt. "
        "Spawn another machine with another prompt."
    )


def _require_hearing(machine: Machine, *, now: bool) -> None:
    if sentence := refusal(machine):
        possible = [verb for verb in machine.verbs if verb != "message"]
        raise Conflict(sentence, state=machine.state, possible=possible)
    if now and machine.state not in {State.RUNNING, State.PAUSING, State.PAUSED}:
        raise Conflict(
            f"Machine {machine.handle} is {machine.get_state_display().lower()}: its agent cannot be interrupted now. "
            "Without “now” it hears this when it ends its turn.",
            state=machine.state,
            possible=machine.verbs,
        )
    if Message.objects.waiting(machine).count() >= WAITING_MAX:
        raise Conflict(f"{WAITING_MAX} messages wait to be heard by {machine.handle} already.")


def _check(text: str) -> None:
    if not text.strip():
        raise Invalid("The message is empty.")
    if "\x00" in text:
        raise Invalid("The message holds a NUL character.")
    if len(text) > PROMPT_CHARACTERS_MAX:
        raise Invalid(f"The message has {len(text):,} characters; {PROMPT_CHARACTERS_MAX:,} is the most.")


def _next_turn(machine: Machine, *, by: User | None, why: str) -> Operation:
    """End the agent's turn, take a checkpoint, and start it again with what waits to be heard."""
    machine.move(State.PAUSING, paused_for="", paused_at=None, sentence="")
    record(machine, "machine.pausing", by=by, sentence=why)
    kept = prepare(machine, Checkpoint.Kind.AUTOMATIC, why, Checkpoint.Trigger.REQUEST)
    return begin("message", machine, by=by, checkpoint=str(kept.id))
