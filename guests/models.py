"""The guest table. A guest outlives its machine while checkpoints still live in its snapshots."""

import uuid
from typing import NamedTuple

from django.db import connection, models
from django.db.models import Q

from guests.states import MOVES, State
from projects.errors import Conflict
from projects.models import Project
from proxmox.driver import VM


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

    # Proxmox is the authority on these; we hold a dated copy that only `observe` writes.
    power = models.CharField(max_length=10, choices=Power, default=Power.UNKNOWN)
    power_since = models.DateTimeField(null=True)  # when it was first seen so
    observed_at = models.DateTimeField(null=True)
    cpu = models.FloatField(default=0)
    memory_bytes = models.BigIntegerField(default=0)

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

    def move(self, to: State) -> None:
        """Change state along the table; the only writer of it. Raises `Conflict`."""
        sources = [state for state, targets in MOVES.items() if to in targets]
        if not Guest.objects.filter(pk=self.pk, state__in=sources).update(state=to):
            raise Conflict(f"{self} cannot become {to.label.lower()} now.")
        self.state = to


class Source(NamedTuple):
    """What a guest is cloned from: a guest, and the snapshot in it ("" for a template as it is)."""

    guest: Guest
    snapshot: str


def next_vmid() -> int:
    """The next VMID of our own sequence; numbers are never used twice, since backups and rights are kept by them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('guests_vmid')")
        return int(cursor.fetchone()[0])
