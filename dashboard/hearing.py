"""What was said to a machine's agent, and what would happen if something were said now."""

from dataclasses import dataclass

from machines.actions.message import refusal
from machines.models import Machine, Message
from machines.states import State
from projects.models import User

SHOWN = 50


@dataclass(frozen=True)
class Said:
    """One message; `who` as its reader would put it."""

    message: Message
    who: str
    tone: str


@dataclass(frozen=True)
class Hearing:
    """`sentence`: what happens to what is said now, where it is `possible` to say something, or to interrupt `now`."""

    said: list[Said]
    possible: bool
    now: bool
    sentence: str


def of(machine: Machine, user: User, *, operable: bool) -> Hearing:
    """As `user` sees it. One query."""
    found = list(machine.messages.order_by("-id")[:SHOWN])[::-1]
    possible = operable and not refusal(machine)
    said = [Said(one, _who(one, user), _TONES[one.state]) for one in found]
    return Hearing(said, possible, possible and machine.state == State.RUNNING, _sentence(machine))


_TONES = {"pending": "info", "delivered": "ok", "undelivered": "warn"}


def _who(message: Message, user: User) -> str:
    return "You" if message.said_by_id == user.pk else message.author


def _sentence(machine: Machine) -> str:
    if machine.state == State.RUNNING:
        return (
            "It is the next turn of the same conversation, once the agent has ended this one. Interrupted, the agent "
            "is ended after a checkpoint, and started again with your words."
        )
    if machine.state in {State.PAUSING, State.PAUSED}:
        return "When the machine is resumed, its agent is started again with your words, in the same conversation."
    return (
        "It is the next turn of the conversation, once the agent has ended the one that it is about to begin."
    )
