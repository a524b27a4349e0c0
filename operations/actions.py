"""Begin, claim, park and finish operations. Short statements on the row; what the work is, others know."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone
from django_q.tasks import async_task

from events import actions as events
from events import context
from operations import begun, slots, trail
from operations.models import ACTIVE, LostClaim, Operation, Status
from projects.errors import Conflict, NotThere
from projects.models import Project, User

WATCHER_CHANNEL = "operations_watch"


def begin(
    verb: str,
    *,
    subject: str,
    project: Project,
    lock: str,
    task: str,
    by: User | None,
    **arguments: Any,
) -> Operation:
    """Record the operation and queue its task, in the caller's transaction: all of it commits, or nothing.

    Operations that want the same lock run one after the other, in the order they were begun.
    """
    assert connection.in_atomic_block, "begin() belongs inside the caller's transaction"
    operation = Operation.objects.create(
        verb=verb,
        subject=subject,
        project=project,
        lock=lock,
        task=task,
        requested_by=by,
        arguments=arguments,
        source=context.carried(),
    )
    enqueue(operation)
    begun.note(operation.id)
    return operation


def put_off(operation: Operation, seconds: float) -> None:
    """Have no worker take it before, in the transaction that begins it; until then it can be cancelled."""
    until = timezone.now() + timedelta(seconds=seconds)
    operation.move(Status.WAITING, expect=(Status.QUEUED,), resume_at=until)
    wake_watcher()


def bring_forward(operation: Operation, seconds: float, *, by: User) -> bool:
    """Have an operation that was put off begin so soon, now as `by` asks; False when it begins no later anyway."""
    until = timezone.now() + timedelta(seconds=seconds)
    if operation.resume_at is None or operation.resume_at <= until:
        return False
    moved = operation.move(Status.WAITING, expect=(Status.WAITING,), resume_at=until, requested_by=by)
    wake_watcher()
    return moved


def find(operation_id: UUID, *, user: User | AnonymousUser) -> Operation:
    """The operation, if `user` may see its project. Raises `NotThere`."""
    visible = Operation.objects.filter(project__in=Project.objects.permitted(user, "view_project"))
    found = visible.select_related("project", "requested_by").filter(pk=operation_id).first()
    if found is None:
        raise NotThere("There is no such operation that you may see.")
    return found


def enqueue(operation: Operation) -> None:
    """Hand the operation's id to the queue. A second delivery is harmless: `claim` lets one through."""
    Operation.objects.filter(pk=operation.pk).update(enqueued_at=timezone.now())
    if settings.REDIS_URL:  # it does not know our transactions
        transaction.on_commit(lambda: _send(operation))
    else:
        _send(operation)


def _send(operation: Operation) -> None:
    async_task(operation.task, str(operation.id), task_name=f"{operation.verb} {operation.id}"[:100])


def claim(operation_id: str) -> Operation | None:
    """The operation, if this worker won it; None when another has it, it ended, or its lock is taken."""
    now = timezone.now()
    operation = Operation.objects.select_related("project", "requested_by").filter(pk=operation_id).first()
    if operation is None or must_queue(operation):
        return None
    try:
        with transaction.atomic():
            won = operation.move(
                Status.RUNNING,
                expect=(Status.QUEUED,),
                claimed_at=now,
                claims=operation.claims + 1,
                started_at=operation.started_at or now,
            )
    except IntegrityError:  # another operation took the lock between the look and the move
        return None
    return operation if won else None


def must_queue(operation: Operation) -> bool:
    """Whether an operation that was begun earlier has, or waits for, the same lock."""
    if operation.started_at:
        return False
    return (
        Operation.objects.active()
        .filter(lock=operation.lock, created_at__lt=operation.created_at)
        .exclude(pk=operation.pk)
        .exists()
    )


def entering(operation: Operation, step: str, *, keep: Collection[str] = ()) -> None:
    """Note that the worker is at `step` now, and has asked nothing of Proxmox for it yet.

    Slots that the step needs as well, `keep`, are not given back in between.
    """
    kept = [name for name in operation.slots if name in keep]
    freed = [name for name in operation.slots if name not in keep]
    fresh = {"attempts": 0, "asked_at": None, "upid": "", "task_result": "", "error": "", "slots": kept}
    operation.note(step=step, step_began_at=timezone.now(), trail=trail.entered(operation, step), **fresh)
    _wake(freed)
    events.ring("operation.step", subject=operation.subject, project_id=operation.project_id)


def asking(operation: Operation) -> None:
    """Write the intent, before the request that may get lost."""
    operation.note(asked_at=timezone.now(), upid="", task_result="")


def await_task(operation: Operation, upid: str) -> None:
    """Store the UPID and let go; the watcher brings the operation back when the task ended."""
    with transaction.atomic():
        _let_go(operation, upid=upid, task_result="")
        wake_watcher()


def await_time(operation: Operation, until: datetime, *, error: str = "", retry: bool = False) -> None:
    """Let go until a point in time. `error` says why, `retry` counts it as another attempt of the step."""
    attempts = operation.attempts + (1 if retry else 0)
    with transaction.atomic():
        _let_go(operation, resume_at=until, error=error, attempts=attempts, upid="", task_result="")
        wake_watcher()


def await_slot(operation: Operation, name: str, *, seconds: float) -> None:
    """Let go until a slot is free. Whoever gives one back wakes the first in line; after `seconds` it looks itself."""
    with transaction.atomic():
        _let_go(
            operation,
            resume_at=timezone.now() + timedelta(seconds=seconds),
            waiting_for=name,
            error=f"Waiting for its turn: as many operations use {name.replace(':', ' ')} as it bears.",
        )


def await_operator(operation: Operation, until: datetime, sentence: str, *, step_began_at: datetime) -> None:
    """Let go until somebody has done what `sentence` says; from time to time it is looked whether that was so."""
    told = operation.error == sentence
    with transaction.atomic():
        fields = {"resume_at": until, "error": sentence, "upid": "", "task_result": "", "slots": []}
        fields["step_began_at"] = step_began_at
        freed = operation.slots
        if not operation.move(Status.NEEDS_OPERATOR, expect=(Status.RUNNING,), **fields):
            raise LostClaim
        _wake(freed)
        if not told:
            events.record(
                "operation.needs_operator",
                subject=operation.subject,
                project_id=operation.project_id,
                verb=operation.verb,
                sentence=sentence,
            )


@transaction.atomic
def give_up(operation: Operation, *, by: User) -> None:
    """Have an operation end that waits for an operator; its plan settles what that means. Raises `Conflict`."""
    # While it looks whether it can go on, it is queued or running for a moment.
    troubled = Operation.objects.filter(pk=operation.pk, status__in=ACTIVE).exclude(error="")
    if not troubled.exclude(status=Status.WAITING).update(given_up_by=by.username):
        sentence = "Only an operation that waits for an operator, or that no worker has begun, can be ended."
        raise Conflict(sentence, state=operation.status)
    operation.refresh_from_db()
    operation.move(Status.QUEUED, expect=(Status.NEEDS_OPERATOR,), resume_at=None)
    _end_early(operation, "operation.given_up", by)


@transaction.atomic
def cancel(operation: Operation, *, by: User) -> None:
    """Have an operation end that no worker has begun, or that waits for an operator. Raises `Conflict`."""
    # A worker that is about to claim it, or the watcher, finds another number of claims, and leaves it alone.
    unbegun = Operation.objects.filter(pk=operation.pk, started_at=None, given_up_by="")
    waiting = unbegun.filter(status__in=[Status.QUEUED, Status.WAITING])
    if not waiting.update(given_up_by=by.username, claims=F("claims") + 1):
        give_up(operation, by=by)
        return
    operation.refresh_from_db()
    operation.move(Status.QUEUED, expect=(Status.WAITING,), resume_at=None)
    _end_early(operation, "operation.cancelled", by)


def _end_early(operation: Operation, kind: str, by: User) -> None:
    events.record(
        kind, subject=operation.subject, project_id=operation.project_id, by=by.username, verb=operation.verb
    )
    enqueue(operation)


def _let_go(operation: Operation, **also: Any) -> None:
    """Park it. Slots are kept only while Proxmox uses what they stand for."""
    freed = [] if also.get("upid") else operation.slots
    kept = operation.slots if also.get("upid") else []
    if not operation.move(Status.WAITING, expect=(Status.RUNNING,), slots=kept, **also):
        raise LostClaim
    _wake(freed)


def _wake(freed: list[str]) -> None:
    """Those that wait for what has become free are next."""
    if not freed:
        return
    for heir in slots.next_in_line(freed):
        Operation.objects.filter(pk=heir.pk, status=Status.WAITING).update(resume_at=timezone.now())
    wake_watcher()


def resume(operation: Operation, *, expect: Status = Status.WAITING, **also: Any) -> bool:
    """Bring a waiting or abandoned operation back to the queue."""
    with transaction.atomic():
        if moved := operation.move(Status.QUEUED, expect=(expect,), resume_at=None, **also):
            enqueue(operation)
    return moved


def finish(operation: Operation, *, error: str = "") -> bool:
    """End it, in the caller's transaction, and wake whoever waits for the same lock. False when it had ended."""
    status = Status.FAILED if error else Status.SUCCEEDED
    freed = operation.slots
    if not operation.move(status, expect=ACTIVE, error=error, finished_at=timezone.now(), slots=[]):
        return False
    _wake(freed)
    events.ring(f"operation.{status}", subject=operation.subject, project_id=operation.project_id)
    if heir := _next_in_line(operation.lock):
        enqueue(heir)
    return True


def _next_in_line(lock: str) -> Operation | None:
    waiting = Operation.objects.filter(lock=lock, status=Status.QUEUED, started_at=None)
    return waiting.order_by("created_at").first()


def wake_watcher() -> None:
    """Tell the watcher, on commit, that there is something to watch."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [WATCHER_CHANNEL])
