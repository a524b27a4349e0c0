"""Slots: counting semaphores that outlive workers. They say how many operations may use a thing at the same time.

A storage makes one disk after the other and fails those that wait 10 s; a node writes one backup at a time. What the
things are, and how much they bear, is said by the steps that need them.
"""

from collections.abc import Mapping

from django.db import connection, transaction
from django.utils import timezone

from operations.models import Operation, Status

# How many operations may hold a slot of that name: {"storage:local-lvm": 2}.
Slots = Mapping[str, int]

_TAKING = 0x736C  # advisory lock: one taker at a time


@transaction.atomic
def take(operation: Operation, wanted: Slots) -> str:
    """Take all slots or none. Returns "" or the name of one that is full."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_TAKING])
    others = Operation.objects.filter(finished_at=None).exclude(pk=operation.pk)
    for name, capacity in wanted.items():
        if others.filter(slots__contains=[name]).count() >= capacity:
            return name
    # Time spent in the queue is no part of the step's own.
    began = timezone.now() if operation.waiting_for else operation.step_began_at
    operation.note(slots=list(wanted), waiting_for="", step_began_at=began, error="")
    return ""


def next_in_line(freed: list[str]) -> list[Operation]:
    """Those that have waited longest for each slot that has become free."""
    waiting = Operation.objects.filter(status=Status.WAITING).order_by("step_began_at", "created_at")
    found = (waiting.filter(waiting_for=name).first() for name in freed)
    return [operation for operation in found if operation]
