"""Pausing and resuming: the guest is frozen in memory, and goes on where it was."""

from django.utils import timezone

from checkpoints import work as checkpoints
from guests import work as guests
from machines.states import State
from machines.work import bundle, message, network
from machines.work.context import Work, blocked, failed, load, moved, running
from operations.engine import Outcome, Plan, Step
from operations.models import Operation


def _paused(work: Work) -> None:
    checkpoints.captured(work.kept)
    moved(work, State.PAUSED, paused_at=timezone.now())


PAUSE: Plan[Work] = Plan(
    load=load,
    steps=(
        *checkpoints.STEPS,
        Step("suspend", "Freezing the VM", lambda work: guests.suspend(work.machine.guest)),
    ),
    succeed=_paused,
    fail=failed,
    blocked=blocked,
)


def _send_again(work: Work) -> Outcome:
    """An agent that is there goes on by itself. Else a new run goes on with its conversation, and what was said."""
    if not _restarts(work) and bundle.agent_runs(work.machine):
        return None
    _note_restart(work.operation)
    bundle.stop(work.machine)
    return message.send(work)


def _start_again(work: Work) -> Outcome:
    return message.launch(work) if _restarts(work) else None


def _restarts(work: Work) -> bool:
    return bool(work.operation.arguments.get("restart"))


def _note_restart(operation: Operation) -> None:
    """A guest that had lost its power is found without its agent; whoever takes the next step has to know."""
    operation.arguments["restart"] = True
    Operation.objects.filter(pk=operation.pk).update(arguments=operation.arguments)


def _resumed(work: Work) -> None:
    """Time that it was paused does not count against its limit."""
    machine, shifted = work.machine, {}
    if machine.run_started_at and machine.paused_at and not _restarts(work):
        shifted = {"run_started_at": machine.run_started_at + (timezone.now() - machine.paused_at)}
    running(work, paused_at=None, **shifted)


RESUME: Plan[Work] = Plan(
    load=load,
    steps=(
        network.CLOSE_AGAIN,
        Step("wake", "Waking the VM", lambda work: guests.wake(work.machine.guest)),
        Step("agent", "Waiting for the guest agent", lambda work: guests.await_agent(work.machine.guest)),
        Step("files", "Preparing the agent", _send_again),
        network.IN_FORCE,
        Step("launch", "Starting the agent", _start_again),
    ),
    succeed=_resumed,
    fail=failed,
    blocked=blocked,
)
