"""The verbs of a machine that is there, and what happens to it without anybody asking."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from budgets.resources import COMPUTE
from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from checkpoints.triggers import effects
from guests import actions as guests
from machines import tokens
from machines.actions.begin import begin, record, require
from machines.actions.keeping import prepare
from machines.actions.returning import require_return, way_out
from machines.models import Machine, Message
from machines.states import CALLING, SPAWNING, State
from operations import actions as operations
from operations.models import Operation
from projects.errors import Conflict
from projects.models import User

DEPARTED = 1  # the exit code of a replay that left the record


@transaction.atomic
def pause(machine: Machine, *, by: User) -> Operation:
    """Freeze the machine in memory until somebody resumes it."""
    require(machine, "pause")
    machine.move(State.PAUSING, paused_for=Machine.PausedFor.PERSON, sentence=f"Paused by {by.username}.")
    record(machine, "machine.pausing", by=by)
    return begin("pause", machine, by=by)


@transaction.atomic
def out_of_budget(machine: Machine, sentence: str, needs: Mapping[str, int] | None = None) -> None:
    """Something was refused for want of budget: keep the state, and pause until there is room for `needs` again.

    An agent may be refused before the worker that started it has said that it runs; then it is noted for that worker.
    """
    awaiting = dict(needs or {})
    if _set_aside(machine, Machine.PausedFor.BUDGET, sentence, "The budget ended", awaiting=awaiting):
        record(machine, "machine.out_of_budget", sentence=sentence, awaiting=awaiting)
        return
    # Refused again on the way: a call, while it is being paused for its time.
    locked = Machine.objects.select_for_update(no_key=True)
    paused = locked.filter(pk=machine.pk, paused_for=Machine.PausedFor.BUDGET)
    if current := paused.filter(state=State.PAUSING).first():
        Machine.objects.filter(pk=machine.pk).update(awaiting=current.awaiting | awaiting)


@transaction.atomic
def held_back(machine: Machine, sentence: str) -> None:
    """Its project spends too fast: keep the state, and pause until the circuit breaker is closed again."""
    if _set_aside(machine, Machine.PausedFor.BREAKER, sentence, "The circuit breaker opened"):
        record(machine, "machine.held_back", sentence=sentence)


def _set_aside(machine: Machine, paused_for: Machine.PausedFor, sentence: str, why: str, **also: Any) -> bool:
    """Checkpoint and pause a machine that nobody asked to be paused. False when that is not for now."""
    reason = {"paused_for": paused_for, "sentence": sentence, **also}
    if Machine.objects.filter(pk=machine.pk, state__in=CALLING - {State.RUNNING}).update(**reason):
        return False  # see `machines.work.context.running`
    try:
        machine.move(State.PAUSING, **reason)
    except Conflict:  # refused twice, or already ending
        return False
    kept = prepare(machine, Checkpoint.Kind.AUTOMATIC, why, Checkpoint.Trigger.PAUSE)
    begin("pause", machine, by=None, checkpoint=str(kept.id))
    return True


@transaction.atomic
def switched_off(machine: Machine) -> None:
    """Its guest was switched off from outside: nothing is lost, and somebody decides when it goes on."""
    sentence = f"Its guest was switched off. To go on where it was: bin/autovibe resume {machine.handle}"
    machine.move(
        State.PAUSED, paused_for=Machine.PausedFor.GUEST, paused_at=timezone.now(), sentence=sentence
    )
    record(machine, "machine.switched_off", sentence=sentence)


@transaction.atomic
def resume(machine: Machine, *, by: User | None) -> Operation:
    """Let a paused machine go on; `by` nobody when its budget, or the circuit breaker, allows it again.

    An agent that ended meanwhile, or was refused a call and is about to, is started again in the same conversation;
    so is one to whom something was said while it was paused.
    """
    require(machine, "resume")
    restart = _was_refused(machine) or machine.exit_code is not None
    machine.move(State.RESUMING, paused_for="", sentence="")
    restart |= Message.objects.waiting(machine).filter(at_once=True).exists()
    if (
        restart
    ):  # what the old agent asks, once it wakes and before it is ended, would be paid for and thrown away
        tokens.revoke(machine)
    record(machine, "machine.resuming", by=by)
    return begin("resume", machine, by=by, restart=restart)


def _was_refused(machine: Machine) -> bool:
    """Whether the agent may have been told so: it was not when its time or compute ended."""
    if machine.paused_for == Machine.PausedFor.BUDGET:
        return not machine.awaiting or not COMPUTE.issuperset(machine.awaiting)
    return machine.paused_for == Machine.PausedFor.BREAKER


@transaction.atomic
def rollback(machine: Machine, target: Checkpoint, *, by: User) -> Operation:
    """Put the machine back to one of its own checkpoints and go on from there. The present is kept first.

    An end that was asked for with grace is called off.
    """
    keeps_present = require_return(machine, target)
    if asked := _ending_soon(machine):
        with suppress(Conflict):  # it has begun, and finds this return: see `machines.work.terminate`
            operations.cancel(asked, by=by)
    checkpoints.hold(target)
    guests.set_at_rest(machine.guest, False)
    machine.move(State.RESTORING, paused_for="", sentence="", ended_at=None, exit_code=None)
    left = effects.since(target).count()
    record(machine, "machine.restoring", by=by, target=target.handle, not_undone=left)
    arguments = {"target": str(target.id)}
    if keeps_present:
        why = f"Before the return to {target.handle}"
        kept = prepare(machine, Checkpoint.Kind.MANUAL, why, Checkpoint.Trigger.RETURN)
        arguments["checkpoint"] = str(kept.id)
    return begin("rollback", machine, by=by, **arguments)


@transaction.atomic
def terminate(machine: Machine, *, by: User) -> Operation:
    """End the machine: a final checkpoint, then the guest is switched off. One that is being spawned just goes."""
    require(machine, "terminate")
    sentence = f"Terminated by {by.username}."
    if machine.state not in SPAWNING:
        return end(machine, sentence=sentence, by=by)
    machine.move(State.STOPPING, sentence=sentence)
    record(machine, "machine.stopping", by=by, sentence=sentence)
    return begin("cancel", machine, by=by)


@transaction.atomic
def terminate_soon(machine: Machine, *, by: User, grace_seconds: int) -> Operation:
    """Have the machine terminated after that many seconds. Until then it runs on, and the operation can be cancelled.

    Asked again meanwhile, the first one is returned, brought forward where this one's grace ends sooner.
    Raises `Conflict`.
    """
    require(machine, "terminate")
    Machine.objects.select_for_update(no_key=True).get(pk=machine.pk)  # one at a time asks this
    asked = _ending_soon(machine)
    if asked and not operations.bring_forward(asked, grace_seconds, by=by):
        return asked
    record(machine, "machine.ending_soon", by=by, seconds=grace_seconds)
    if asked:
        return asked
    operation = begin("terminate_soon", machine, by=by, lock=_grace(machine))
    operations.put_off(operation, grace_seconds)
    return operation


def _grace(machine: Machine) -> str:
    return f"grace:{machine.pk}"


def _ending_soon(machine: Machine) -> Operation | None:
    """The end that was asked for with grace, and not called off."""
    return Operation.objects.active().filter(lock=_grace(machine), given_up_by="").first()


@transaction.atomic
def end(machine: Machine, *, sentence: str, by: User | None = None) -> Operation:
    """Begin the end, however it came about; `machine.exit_code` decides whether it counts as failed."""
    machine.move(State.STOPPING, sentence=sentence)
    record(machine, "machine.stopping", by=by, sentence=sentence)
    final = prepare(machine, Checkpoint.Kind.FINAL, "The end", Checkpoint.Trigger.END)
    return begin("terminate", machine, by=by, checkpoint=str(final.id))


@transaction.atomic
def depart(machine_id: UUID, sentence: str) -> None:
    """A replay came to a call that is not in the record: it ends as failed, with the reason. Once is enough."""
    related = ("project", "guest", "present")
    locked = Machine.objects.select_for_update(of=("self",), no_key=True).select_related(*related)
    current = locked.get(pk=machine_id)
    if current.exit_code is not None or current.state not in CALLING:
        return
    Machine.objects.filter(pk=machine_id).update(exit_code=DEPARTED, sentence=sentence)
    current.refresh_from_db(fields=["exit_code"])
    if current.state == State.RUNNING:  # else the worker that starts it begins the end
        end(current, sentence=sentence)


@transaction.atomic
def lost(machine: Machine, sentence: str, *, keep: bool = False, gone: bool = False) -> None:
    """The guest is no longer what it should be: say so, and switch it off. `keep`: with a last checkpoint.

    `gone`: Proxmox has it no more; then it is said where its work can be gone on with.
    """
    if gone:
        sentence = f"{sentence} {way_out(machine)}"
    machine.move(State.FAILED, sentence=sentence)
    tokens.revoke(machine)
    record(machine, "machine.failed", sentence=sentence)
    if keep:
        last = prepare(machine, Checkpoint.Kind.FINAL, "As it was when it failed", Checkpoint.Trigger.END)
        checkpoints.take(last, by=None)
    guests.halt(machine.guest)
