"""The watcher: polls every open Proxmox task together, and brings back what waited, was abandoned or got lost.

It runs in the hub. Notifications make it quick; the period alone keeps it right.
"""

import logging
from datetime import timedelta

from django.utils import timezone

from operations import actions
from operations.models import PARKED, Operation, Status
from proxmox import errors
from proxmox.connect import driver

logger = logging.getLogger(__name__)

# A queued operation that no worker took: its queue entry was lost, or its lock became free in silence.
OVERLOOKED_AFTER = timedelta(seconds=15)
# How soon a task is looked at again, as a share of its age: a quick one is seen at once, a long one costs little.
POLL_SHARE, POLL_MIN_SECONDS, POLL_MAX_SECONDS = 0.15, 0.02, 2.0
IDLE_SECONDS = 1.0


def tick() -> float:
    """Do all that is due; return in how many seconds to look again."""
    seconds = _poll_tasks()
    for operation in Operation.objects.due():
        actions.resume(operation, expect=Status(operation.status))
    next_due = Operation.objects.filter(status__in=PARKED, upid="").order_by("resume_at").first()
    if next_due and next_due.resume_at:
        seconds = min(seconds, (next_due.resume_at - timezone.now()).total_seconds())
    return max(seconds, POLL_MIN_SECONDS)


def _poll_tasks() -> float:
    open_operations = {operation.upid: operation for operation in Operation.objects.awaiting_proxmox()}
    if not open_operations:
        return IDLE_SECONDS
    try:
        tasks = driver().tasks(list(open_operations))
    except errors.ProxmoxError as error:
        logger.warning("Cannot ask Proxmox about %d tasks: %s", len(open_operations), error)
        return POLL_MAX_SECONDS
    for task in tasks:
        if task.result:
            operation = open_operations.pop(task.upid)
            actions.resume(operation, task_result=task.result[:500])
    return _pause(list(open_operations.values()))


def _pause(still_open: list[Operation]) -> float:
    now = timezone.now()
    asked = [operation.asked_at for operation in still_open if operation.asked_at]
    if not asked:
        return IDLE_SECONDS
    youngest = (now - max(asked)).total_seconds()
    return min(max(youngest * POLL_SHARE, POLL_MIN_SECONDS), POLL_MAX_SECONDS)


def reap() -> int:
    """Bring back what was dropped: by a killed worker, or by a lost queue entry. Returns how many."""
    abandoned = list(Operation.objects.abandoned())
    for operation in abandoned:
        logger.warning("The worker of %s is gone at step %r; another takes over.", operation, operation.step)
        actions.resume(operation, expect=Status.RUNNING, attempts=operation.attempts + 1)
    before = timezone.now() - OVERLOOKED_AFTER
    queued = Operation.objects.filter(status=Status.QUEUED, enqueued_at__lt=before)
    overlooked = [operation for operation in queued if not actions.must_queue(operation)]
    for operation in overlooked:
        actions.enqueue(operation)
    return len(abandoned) + len(overlooked)
