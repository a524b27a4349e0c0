"""What the plans of a machine work on, and how they end; shared by all verbs."""

import contextlib
from dataclasses import dataclass
from datetime import datetime

from checkpoints import work as checkpoints
from checkpoints.models import Checkpoint
from events import actions as events
from guests import actions as guests
from guests import locks
from machines import actions, reports, tokens
from machines.limits import compute
from machines.models import Machine
from machines.states import State
from operations.models import Operation
from projects.errors import Conflict


@dataclass
class Work:
    """An operation's machine, and the checkpoints it is about."""

    operation: Operation
    machine: Machine
    kept: Checkpoint | None  # to be taken on the way
    target: Checkpoint | None  # to be returned to

    @property
    def checkpoint(self) -> Checkpoint | None:
        return self.kept

    @property
    def asked_at(self) -> datetime:
        return self.operation.asked_at or self.operation.created_at


def load(operation: Operation) -> Work:
    """The context as the database has it now."""
    machine = Machine.objects.select_related("project", "guest", "source__guest", "present").get(
        pk=operation.arguments["machine"]
    )
    return Work(
        operation=operation,
        machine=machine,
        kept=_checkpoint(operation, "checkpoint"),
        target=_checkpoint(operation, "target"),
    )


def _checkpoint(operation: Operation, name: str) -> Checkpoint | None:
    key = operation.arguments.get(name)
    return Checkpoint.objects.select_related("guest", "parent").get(pk=key) if key else None


def moved(work: Work, to: State, **also: object) -> None:
    """Move the machine and say so."""
    machine = work.machine
    before = machine.state
    machine.move(to, **also)
    actor = work.operation.requested_by
    events.record(
        f"machine.{to.value}",
        subject=machine.subject,
        project_id=machine.project_id,
        by=actor.username if actor else events.SYSTEM,
        before={"state": before},
        state=to.value,
        handle=machine.handle,
        sentence=machine.sentence,
    )


def running(work: Work, **also: object) -> None:
    """The agent was started. One that ended, or was refused, before this could be said is taken from there."""
    moved(work, State.RUNNING, **also)
    machine = work.machine
    machine.refresh_from_db(fields=["exit_code", "sentence", "paused_for", "awaiting"])
    if machine.paused_for == Machine.PausedFor.BUDGET:
        actions.out_of_budget(machine, machine.sentence, machine.awaiting)
    elif machine.paused_for == Machine.PausedFor.BREAKER:
        actions.held_back(machine, machine.sentence)
    elif machine.exit_code is not None:
        actions.turn_ended(machine, sentence=machine.sentence or reports.sentence_of(machine.exit_code))
    else:
        compute.begin(machine)


def failed(work: Work, sentence: str) -> None:
    """The usual end of a plan that broke: the machine failed, says why, and nothing of it runs on unseen."""
    checkpoints.broken(work, sentence)
    with contextlib.suppress(Conflict):  # it ended otherwise meanwhile
        moved(work, State.FAILED, sentence=sentence)
    tokens.revoke(work.machine)
    guests.halt(work.machine.guest)


def blocked(work: Work) -> str:
    """What an operator has to do about the machine's guest."""
    return locks.blocked(work.machine.guest)
