"""Guests, which outlive their machines while checkpoints live in their snapshots, and what else the cluster has."""

import uuid
from typing import NamedTuple

from django.db import connection, models
from django.db.models import Q
from django.utils import timezone

from guests.branching import Branching
from guests.states import MOVES, State
from projects.errors import Conflict
from projects.models import Project
from proxmox.driver import VM
from proxmox.storage_kinds import Abilities, abilities


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

    def move(self, to: State) -> None:
        """Change state along the table; the only writer of it. Raises `Conflict`."""
        sources = [state for state, targets in MOVES.items() if to in targets]
        if not Guest.objects.filter(pk=self.pk, state__in=sources).update(state=to):
            raise Conflict(f"{self} cannot become {to.label.lower()} now.")
        self.state = to


class Node(models.Model):
    """A node of the cluster, and since when it is there or away."""

    name = models.CharField(max_length=60, primary_key=True)
    online = models.BooleanField(default=True)
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Storage(models.Model):
    """A storage as one node has it; what can be branched and gone back to depends on its kind."""

    name = models.CharField(max_length=100)
    node = models.CharField(max_length=60)
    kind = models.CharField(max_length=30)
    chain = models.BooleanField(default=False)

    class Meta:
        ordering = ["node", "name"]
        constraints = [models.UniqueConstraint(fields=["node", "name"], name="storage_once_per_node")]

    def __str__(self) -> str:
        return f"{self.name} on {self.node}"

    def abilities(self, image_format: str) -> Abilities:
        """What can be done with disks of that format."""
        return abilities(self.kind, chain=self.chain, image_format=image_format)


class StrayQuerySet(models.QuerySet["Stray"]):
    def to_be_shown(self) -> "StrayQuerySet":
        return self.filter(confirmed=True, ignored_by="")


class Stray(models.Model):
    """A VM that carries our mark or is in our pool, and that no guest of ours accounts for. Never touched unasked."""

    vmid = models.PositiveIntegerField(primary_key=True)
    node = models.CharField(max_length=60)
    name = models.CharField(max_length=200, blank=True)
    description = models.TextField(blank=True)
    owner = models.CharField(max_length=36, blank=True)  # the id in its description
    why = models.CharField(max_length=200)
    first_seen_at = models.DateTimeField(default=timezone.now)
    # Seen a second time, so it is none that is just being made or removed by hand.
    confirmed = models.BooleanField(default=False)
    ignored_by = models.CharField(max_length=150, blank=True)

    objects = StrayQuerySet.as_manager()

    class Meta:
        ordering = ["vmid"]

    def __str__(self) -> str:
        return f"VM {self.vmid}"


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


from guests.diagnosis_models import Diagnosis as Diagnosis  # noqa: E402
from guests.usage_models import Meter as Meter  # noqa: E402
from guests.usage_models import Usage as Usage  # noqa: E402
