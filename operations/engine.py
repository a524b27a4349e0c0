"""How a worker carries an operation through its plan: one step at a time, never waiting on Proxmox.

A worker may be killed at any line. What the row says afterwards is enough for the next one: which step it was,
whether something had been asked of Proxmox (`asked_at`), and the UPID if one came back.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, NamedTuple, TypeVar

from django.db import connection, transaction
from django.db.utils import InterfaceError, OperationalError
from django.utils import timezone

from events import context
from operations import actions, slots, trail
from operations.models import ALIVE, LostClaim, Operation
from operations.slots import Slots
from proxmox import errors
from proxmox.connect import driver

logger = logging.getLogger(__name__)

Context = TypeVar("Context")
# What a step needs may be less than what a plan has.
Needs = TypeVar("Needs", contravariant=True)

ATTEMPTS = 8
BACK_OFF_SECONDS = (0.5, 1, 2, 4, 8, 15, 30, 30)
# How long a node that is away, or a lock that another task holds, is waited for.
PATIENCE = timedelta(minutes=30)
# A lock that has been in the way for so long is looked into: does a task hold it, or did one die with it?
STUCK_AFTER = timedelta(seconds=60)
# After these the step is tried a few times; after those, for as long as we are patient.
_AGAIN = (errors.UnknownOutcome, errors.AgentAbsent, errors.Exists)  # what exists may be what we asked for
_PATIENTLY = (errors.Transient, errors.Busy)
# How often it is looked whether an operator has done what was asked of him.
LOOK_SECONDS = 10.0
# When a worker looks at a task that usually ends at once; half a second in all.
BRIEF_PAUSES = (0.02, 0.03, 0.05, 0.07, 0.09, 0.11, 0.13)
# A slot that became free in silence is noticed after so long.
SLOT_SECONDS = 5.0


class Later(NamedTuple):
    """Not yet: come back after `seconds`. Give up when the step is older than `deadline_seconds`, saying `why`."""

    seconds: float
    deadline_seconds: float
    why: str


# What a step's function may answer: a UPID to wait for, a time to come back, or nothing more to do.
Outcome = str | Later | None


class Step(NamedTuple, Generic[Needs]):
    """One idempotent step of a plan.

    `look` tells what became of an earlier `act` whose answer was lost: True when its effect is there, a UPID
    when it is still under way, False when it never happened. A step without it may simply be repeated.
    `tolerate` makes a failure no failure: it is told why, and the plan goes on.
    `slots`: what the step uses that only so many operations may use at once, and how many.
    `needed`: whether there is anything to do, from what the database knows; the step is not even entered without.
    `brief`: its Proxmox task usually ends at once, so the worker looks for the end itself before it lets go.
    """

    name: str
    title: str
    act: Callable[[Needs], Outcome]
    look: Callable[[Needs], bool | str] | None = None
    tolerate: Callable[[Needs, str], None] | None = None
    slots: Callable[[Needs], Slots] | None = None
    needed: Callable[[Needs], bool] | None = None
    brief: bool = False


@dataclass(frozen=True)
class Plan(Generic[Context]):
    """The steps of one verb, and how its end is settled. `succeed` and `fail` run in the transaction that ends it.

    `blocked` is asked when a lock does not go away: "" while a task holds it, else what an operator has to do.
    `instead` is asked when a step has failed for good, with the sentence and the error: the name of the step to go on
    from, once it has chosen another way, or "". It runs in the transaction that enters that step.
    """

    load: Callable[[Operation], Context]
    steps: tuple[Step[Context], ...]
    succeed: Callable[[Context], None]
    fail: Callable[[Context, str], None]
    blocked: Callable[[Context], str] = lambda context: ""
    instead: Callable[[Context, str, errors.ProxmoxError], str] = lambda context, sentence, error: ""

    def title(self, name: str) -> str:
        return next((step.title for step in self.steps if step.name == name), "")


def perform(operation_id: str, plan: Plan[Context]) -> None:
    """Claim the operation and take it as far as it goes now."""
    operation = actions.claim(operation_id)
    if operation is None:
        return
    try:
        with _alive(operation), context.calling(context.restored(operation.source)):
            _carry(operation, plan)
    except LostClaim:
        logger.warning("%s was taken over by another worker at step %r.", operation, operation.step)
    except (OperationalError, InterfaceError):
        # Nobody can say what was written: another worker takes over, and looks before it asks.
        connection.close()
        raise


@contextmanager
def _alive(operation: Operation) -> Iterator[None]:
    """Hold the sign of life: an advisory lock that PostgreSQL drops together with this worker's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", [ALIVE, operation.pulse])
    try:
        yield
    finally:
        with suppress(OperationalError, InterfaceError), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [ALIVE, operation.pulse])


def _carry(operation: Operation, plan: Plan[Context]) -> None:
    context = plan.load(operation)
    if operation.given_up_by:
        _fail(operation, plan, context, f"Given up by {operation.given_up_by}. {operation.error}".strip())
        return
    if operation.attempts > ATTEMPTS:
        _fail(operation, plan, context, f"{plan.title(operation.step)}: workers died at it again and again.")
        return
    try:
        if _walk(operation, plan, context):
            _settle(operation, lambda: plan.succeed(context))
    except (LostClaim, OperationalError, InterfaceError):
        raise
    except Exception as error:
        # Anything else is our own fault; the operation must still end, with the trace in the log.
        logger.exception("%s broke at step %r", operation, operation.step)
        _fail(operation, plan, context, f"autovibe failed at “{plan.title(operation.step)}”: {error}")


def _walk(operation: Operation, plan: Plan[Context], context: Context) -> bool:
    """Do step after step; True when all are done, False when the operation was parked or ended."""
    names = [step.name for step in plan.steps]
    at = names.index(operation.step) if operation.step in names else 0
    for step in plan.steps[at:]:
        if operation.step != step.name:
            if step.needed and not step.needed(context):
                continue
            actions.entering(operation, step.name, keep=step.slots(context) if step.slots else ())
        if not _step_is_done(operation, plan, step, context):
            return False
    return True


def _step_is_done(operation: Operation, plan: Plan[Context], step: Step[Context], context: Context) -> bool:
    try:
        return _advance(operation, step, context)
    except errors.Stuck as error:
        return _call_operator(operation, str(error))
    except errors.ProxmoxError as error:
        if _comes_back(operation, plan, context, error):
            return False
        sentence, failure = f"{step.title}: {error}{_how_long(error)}", error
    if step.tolerate:
        step.tolerate(context, sentence)
        return True
    if not _goes_another_way(operation, plan, context, sentence, failure):
        _fail(operation, plan, context, sentence)
    return False


@transaction.atomic
def _goes_another_way(
    operation: Operation, plan: Plan[Context], context: Context, sentence: str, error: errors.ProxmoxError
) -> bool:
    step = plan.instead(context, sentence, error)
    if step:
        actions.entering(operation, step)
        _park(operation, 0)
    return bool(step)


def _comes_back(
    operation: Operation, plan: Plan[Context], context: Context, error: errors.ProxmoxError
) -> bool:
    """Whether the step is tried again later, because that may help; then the operation is parked."""
    if isinstance(error, _AGAIN):
        return operation.attempts < ATTEMPTS and _retry(operation, str(error))
    if not isinstance(error, _PATIENTLY):
        return False
    # Nothing was done. A node that is rebooted, or a foreign backup, is waited for; a lock left by a dead task is not.
    age = _age(operation)
    if isinstance(error, errors.Busy) and age > STUCK_AFTER and (sentence := _blocked(plan, context)):
        _call_operator(operation, sentence)
        return True
    return age < PATIENCE and not _park(operation, min(max(age.total_seconds() * 0.2, 0.5), 15), str(error))


def _how_long(error: errors.ProxmoxError) -> str:
    if isinstance(error, _AGAIN):
        return f" Tried {ATTEMPTS} times."
    return f" Waited {PATIENCE.seconds // 60} minutes." if isinstance(error, _PATIENTLY) else ""


def _advance(operation: Operation, step: Step[Context], context: Context) -> bool:
    """True when the step is done. Raises when it failed."""
    if operation.upid:
        if not operation.task_result:  # claimed early; the watcher has not seen the end
            actions.await_task(operation, operation.upid)
            return False
        return _judge(operation)
    outcome: Outcome | bool = False
    if operation.asked_at and step.look:
        outcome = step.look(context)
    if outcome is False:
        if step.slots and (full := slots.take(operation, step.slots(context))):
            actions.await_slot(operation, full, seconds=SLOT_SECONDS)
            return False
        actions.asking(operation)
        outcome = step.act(context)
    if isinstance(outcome, str):
        return _await_task(operation, outcome, brief=step.brief)
    if isinstance(outcome, Later):
        return _come_back(operation, outcome)
    return True


def _await_task(operation: Operation, upid: str, *, brief: bool) -> bool:
    """Let go until the task has ended; a brief one is looked at a few times first. True when it did, well."""
    if brief:
        operation.note(upid=upid, task_result="")  # whoever takes over waits for it, instead of asking again
        if result := _soon(upid):
            operation.task_result = result
            return _judge(operation)
    actions.await_task(operation, upid)
    return False


def _soon(upid: str) -> str:
    """The result of a task that ends within half a second; "" when it does not, or nobody can say."""
    for pause in BRIEF_PAUSES:
        time.sleep(pause)
        try:
            if result := driver().tasks([upid])[0].result:
                return result
        except errors.ProxmoxError:
            break
    return ""


def _judge(operation: Operation) -> bool:
    """Read the exit status of the step's Proxmox task (PVE::UPID: OK, "WARNINGS: n", or what went wrong)."""
    result, upid = operation.task_result, operation.upid
    log = "" if result == "OK" else _log_of(upid)
    told = trail.judged(operation, trail.Task(upid, result, log))
    operation.note(upid="", task_result="", trail=told)
    if result == "OK":
        return True
    if result.startswith("WARNINGS:"):
        operation.note(warnings=f"{operation.warnings}{result}\n")
        return True
    raise errors.of_task(result, log)


def _log_of(upid: str) -> str:
    try:
        return driver().task_log(upid)
    except errors.ProxmoxError:
        return ""


def _blocked(plan: Plan[Context], context: Context) -> str:
    """What has to be done about a lock that no task holds; "" while it may well go away by itself."""
    try:
        return plan.blocked(context)
    except errors.ProxmoxError:
        return ""


def _call_operator(operation: Operation, sentence: str) -> bool:
    """Wait for a person; the step is tried again until it works, or somebody gives it up."""
    now = timezone.now()
    # Time spent waiting for a person is no time of the step's: there is patience again once it can go on.
    began = now - STUCK_AFTER
    actions.await_operator(operation, now + timedelta(seconds=LOOK_SECONDS), sentence, step_began_at=began)
    return False


def _age(operation: Operation) -> timedelta:
    return timezone.now() - (operation.step_began_at or timezone.now())


def _come_back(operation: Operation, later: Later) -> bool:
    if _age(operation) > timedelta(seconds=later.deadline_seconds):
        raise errors.ProxmoxError(later.why)
    return _park(operation, later.seconds)


def _park(operation: Operation, seconds: float, error: str = "") -> bool:
    actions.await_time(operation, timezone.now() + timedelta(seconds=seconds), error=error)
    return False


def _retry(operation: Operation, error: str) -> bool:
    """Try the step again later; what was asked stays noted, so that the next worker looks first. Always True."""
    seconds = BACK_OFF_SECONDS[min(operation.attempts, len(BACK_OFF_SECONDS) - 1)]
    until = timezone.now() + timedelta(seconds=seconds)
    actions.await_time(operation, until, error=error, retry=True)
    return True


@transaction.atomic
def _settle(operation: Operation, settle: Callable[[], None]) -> None:
    if actions.finish(operation):
        settle()


@transaction.atomic
def _fail(
    operation: Operation,
    plan: Plan[Context],
    context: Context,
    sentence: str,
) -> None:
    if actions.finish(operation, error=sentence):
        plan.fail(context, sentence)
