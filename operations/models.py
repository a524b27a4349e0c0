"""The operation: one long-running piece of work, how far it is, and how it ended."""

import secrets
import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from projects.models import Project

# From the claim until the worker's sign of life has to be there (`engine.alive`).
GRACE = timedelta(seconds=3)
# Session-level advisory locks of this class say which operations have a living worker: the lock dies with it.
ALIVE = 0x6F70


class Status(models.TextChoices):
    QUEUED = "queued"  # a worker may take it
    RUNNING = "running"  # a worker has it
    WAITING = "waiting"  # for a Proxmox task, or for a point in time
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NEEDS_OPERATOR = "needs_operator"  # it looks from time to time whether it can go on


PARKED = (Status.WAITING, Status.NEEDS_OPERATOR)
ACTIVE = (Status.QUEUED, Status.RUNNING, *PARKED)
ENDED = (Status.SUCCEEDED, Status.FAILED)
# Of work that nobody asked for and that recurs, only its troubles.
NOTEWORTHY = ~Q(
    requested_by=None,
    verb__in=["checkpoint", "survey", "prune", "drop_snapshot"],
    status__in=[Status.QUEUED, Status.RUNNING, Status.WAITING, Status.SUCCEEDED],
)


class LostClaim(Exception):
    """Another worker has taken the operation over; this one has to leave it alone."""


def _new_pulse() -> int:
    return secrets.randbelow(2**31)


def _beating() -> list[int]:
    """Keys of the advisory locks that living workers hold."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())",
            [ALIVE],
        )
        return [row[0] for row in cursor.fetchall()]


class OperationQuerySet(models.QuerySet["Operation"]):
    def active(self) -> "OperationQuerySet":
        return self.filter(status__in=ACTIVE, finished_at=None)  # the index of open ones wants both

    def awaiting_proxmox(self) -> "OperationQuerySet":
        """Operations whose Proxmox task has not been seen to end."""
        return self.filter(status=Status.WAITING, task_result="").exclude(upid="")

    def due(self) -> "OperationQuerySet":
        """Operations that waited for a point in time which has come."""
        return self.filter(status__in=PARKED, upid="", resume_at__lte=Now())

    def needing_operator(self) -> "OperationQuerySet":
        """Those that wait for a person, the oldest first."""
        return self.filter(status=Status.NEEDS_OPERATOR, finished_at=None).order_by("created_at")

    def noteworthy(self) -> "OperationQuerySet":
        """All but what autovibe begins by itself, again and again, as long as it goes well."""
        return self.filter(NOTEWORTHY)

    def abandoned(self) -> "OperationQuerySet":
        """Operations whose worker is gone: killed, timed out, or cut off from the database."""
        running = self.filter(status=Status.RUNNING, claimed_at__lt=timezone.now() - GRACE)
        return running.exclude(pulse__in=_beating())


class Operation(models.Model):
    """Long-running work on one subject. The row is the truth; queue entries only carry its id."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    verb = models.CharField(max_length=30)
    subject = models.CharField(max_length=80)  # "machine:<uuid>"
    project = models.ForeignKey(Project, models.CASCADE)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
    # What no other operation may touch meanwhile ("guest:<uuid>"): Proxmox allows one change per VM at a time.
    lock = models.CharField(max_length=80)
    task = models.CharField(max_length=120)  # dotted path of the queue entry point
    arguments = models.JSONField(default=dict)
    source = models.JSONField(default=dict)  # from where it was asked for: `events.context.carried`

    status = models.CharField(max_length=15, choices=Status, default=Status.QUEUED)
    step = models.CharField(max_length=40, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)  # of this step
    # Set before anything is asked of Proxmox, so that a successor knows to look before it asks again.
    asked_at = models.DateTimeField(null=True)
    upid = models.CharField(max_length=200, blank=True)
    task_result = models.CharField(max_length=500, blank=True)  # Proxmox's exitstatus, once it ended
    resume_at = models.DateTimeField(null=True)
    enqueued_at = models.DateTimeField(null=True)
    claimed_at = models.DateTimeField(null=True)
    # How often it was claimed. A worker that lost its claim finds another number here, and writes nothing more.
    claims = models.PositiveIntegerField(default=0)
    pulse = models.IntegerField(default=_new_pulse)  # key of the advisory lock that its worker holds
    step_began_at = models.DateTimeField(null=True)
    # What only so many may use at once, held while it is being used; and what it waits for.
    slots = ArrayField(models.CharField(max_length=120), default=list)
    waiting_for = models.CharField(max_length=120, blank=True)
    given_up_by = models.CharField(max_length=150, blank=True)  # who did not want to wait any longer
    # The steps it has entered, in their order: see `operations.trail`. Long where a task failed; lists leave it out.
    trail = models.JSONField(default=list)
    error = models.TextField(blank=True)
    warnings = models.TextField(blank=True)

    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = OperationQuerySet.as_manager()

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=Status.values), name="operation_status_is_known"),
            # The lock itself: of the operations that want it, one may have begun and not ended.
            models.UniqueConstraint(
                fields=["lock"],
                condition=Q(started_at__isnull=False, finished_at__isnull=True),
                name="one_operation_at_a_time_per_lock",
            ),
        ]
        indexes = [
            models.Index(fields=["status"], condition=Q(finished_at__isnull=True), name="operation_open"),
            models.Index(fields=["subject", "-created_at"], name="operation_by_subject"),
            models.Index(fields=["created_at"], name="operation_by_time"),
            models.Index(
                fields=["-finished_at"], condition=Q(finished_at__isnull=False), name="operation_by_end"
            ),
            models.Index(
                fields=["-finished_at"],
                condition=NOTEWORTHY & Q(finished_at__isnull=False),
                name="operation_by_noted_end",
            ),
            # Of how long a verb usually takes, the last runs are read.
            models.Index(
                fields=["verb", "-finished_at"], condition=Q(status="succeeded"), name="operation_by_verb"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.subject}"

    @property
    def creator_id(self) -> int | None:
        return self.requested_by_id

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def move(self, to: Status, *, expect: tuple[Status, ...], **also: Any) -> bool:
        """Change status if it is still one of `expect` and the claim still ours; the only writer of it.

        False when somebody was faster.
        """
        mine = Operation.objects.filter(pk=self.pk, status__in=expect, claims=self.claims)
        moved = mine.update(status=to, **also)
        if moved:
            self.status = to
            for name, value in also.items():
                setattr(self, name, value)
        return bool(moved)

    def note(self, **fields: Any) -> None:
        """Write to the row of an operation that this worker has. Raises `LostClaim` when it has it no more."""
        mine = Operation.objects.filter(pk=self.pk, status=Status.RUNNING, claims=self.claims)
        if not mine.update(**fields):
            raise LostClaim
        for name, value in fields.items():
            setattr(self, name, value)
