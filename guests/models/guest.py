"""Guests, which outlive their machines while checkpoints live in their snapshots."""

import uuid
from datetime import datetime
from typing import NamedTuple

from django.db import connection, models
from django.db.models import Q

from guests.branching import Branching
from guests.models.cluster import Storage
from guests.states import MOVES, State
from projects.errors import Conflict
from projects.models import Project
from proxmox.driver import VM
from proxmox.storage_kinds import Abilities


class Guest(models.Model):
    """A VM: our number and place for it, and what was last seen of it."""

    class Power(models.TextChoices):
        UNKNOWN = "unknown"
        RUNNING = "running"
        PAUSED = "paused"
        IO_ERROR = "io-error"
        STOPPED = "stopped"
        ABSENT = "absent"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, null=True)  # templates belong to none
    vmid = models.PositiveIntegerField(unique=True)
    node = models.CharField(max_length=60)
    template = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=State, default=State.ALLOCATED)
    created_at = models.DateTimeField(auto_now_add=True)
    # Its machine ended, and nothing has changed its disks since its newest snapshot.
    at_rest = models.BooleanField(default=False)
    storage = models.CharField(max_length=100, blank=True)  # of its first disk; "" until it was looked at
    image_format = models.CharField(max_length=20, blank=True)  # of that disk: raw, qcow2, vmdk
    disk_bytes = models.BigIntegerField(default=0)

    # Proxmox is the authority on these; we hold a dated copy that only `observe` writes.
    power = models.CharField(max_length=10, choices=Power, default=Power.UNKNOWN)
    power_since = models.DateTimeField(null=True)  # when it was first seen so
    observed_at = models.DateTimeField(null=True)
    cpu = models.FloatField(default=0)
    memory_bytes = models.BigIntegerField(default=0)
    lock = models.CharField(max_length=30, blank=True)  # Proxmox's own, and since when it was seen
    lock_since = models.DateTimeField(null=True)
    snapshots_seen_at = models.DateTimeField(null=True)  # when they were last compared with its checkpoints
    drift = models.JSONField(default=list)  # sentences: how it is not as we left it

    class Meta:
        ordering = ["vmid"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=State.values), name="guest_state_is_known"),
        ]

    def __str__(self) -> str:
        return f"VM {self.vmid}"

    @property
    def subject(self) -> str:
        return f"guest:{self.id}"

    @property
    def vm(self) -> VM:
        """How the driver is told of it; the id is the mark of ownership in its description."""
        return VM(node=self.node, vmid=self.vmid, owner=str(self.id))

    @property
    def abilities(self) -> Abilities | None:
        """What its storage can do; None before that was seen."""
        if not self.storage:
            return None
        found = Storage.objects.filter(name=self.storage, node=self.node).first()
        return found.abilities(self.image_format) if found else None

    @property
    def gone(self) -> bool:
        """Whether Proxmox has it no more: seen by two looks of different kinds, since one alone may be mistaken."""
        return self.state == State.GONE or (self.power == self.Power.ABSENT and bool(self.drift))

    @staticmethod
    def last_observed_at() -> datetime | None:
        """When Proxmox last told of any of them; None before it did. One query."""
        last: datetime | None = Guest.objects.aggregate(last=models.Max("observed_at"))["last"]
        return last

    def move(self, to: State) -> None:
        """Change state along the table; the only writer of it. Raises `Conflict`."""
        sources = [state for state, targets in MOVES.items() if to in targets]
        if not Guest.objects.filter(pk=self.pk, state__in=sources).update(state=to):
            raise Conflict(f"{self} cannot become {to.label.lower()} now.")
        self.state = to


class Source(NamedTuple):
    """What a guest is made from: another guest, the snapshot in it ("" for a template as it is), and how."""

    guest: Guest
    snapshot: str
    branching: Branching
    backup: str = ""


def next_vmid() -> int:
    """The next VMID of our own sequence; numbers are never used twice, since backups and rights are kept by them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('guests_vmid')")
        return int(cursor.fetchone()[0])
