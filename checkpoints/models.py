"""Checkpoints, and the files in them: manifests and contents are shared between checkpoints by their hash."""

import json
import uuid
from typing import Any, cast

import zstandard
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Q

from checkpoints.states import MOVES, State
from guests.branching import Branching, choose
from guests.models import Guest, Source
from projects.errors import Conflict
from projects.models import Project, User


class Blob(models.Model):
    """The content of a file, once, whatever number of checkpoints hold it."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    size = models.PositiveIntegerField()
    body = models.BinaryField()  # zstd

    def __str__(self) -> str:
        return self.sha256[:12]

    @property
    def content(self) -> bytes:
        return zstandard.decompress(bytes(self.body), max_output_size=self.size)

    @classmethod
    def holding(cls, sha256: str, content: bytes) -> "Blob":
        return cls(sha256=sha256, size=len(content), body=zstandard.compress(content, 3))


class Manifest(models.Model):
    """Which files a state has. Two checkpoints with the same files share one."""

    digest = models.CharField(max_length=64, primary_key=True)
    files = models.PositiveIntegerField()
    size = models.PositiveBigIntegerField()  # bytes, all files together
    body = models.BinaryField()  # zstd of a JSON list of entries, sorted by path

    def __str__(self) -> str:
        return self.digest[:12]

    @property
    def entries(self) -> list[dict[str, Any]]:
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(bytes(self.body))
        return cast("list[dict[str, Any]]", json.loads(raw))


class CheckpointQuerySet(models.QuerySet["Checkpoint"]):
    def permitted(self, user: User | AnonymousUser, permission: str) -> "CheckpointQuerySet":
        """Checkpoints of the projects where `user` holds `permission`."""
        return self.filter(project__in=Project.objects.permitted(user, permission))

    def of(self, origin: str) -> "CheckpointQuerySet":
        """The checkpoints that one machine left, oldest first."""
        return self.filter(origin=origin).order_by("number")


class Checkpoint(models.Model):
    """A state that can be returned to and branched from: a snapshot of a guest, and what was in it."""

    class Kind(models.TextChoices):
        GENESIS = "genesis"
        AUTOMATIC = "automatic"
        MANUAL = "manual"
        FINAL = "final"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE)
    handle = models.CharField(max_length=60, unique=True)  # "m12.c3", "demo.c0"
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind)
    state = models.CharField(max_length=10, choices=State, default=State.REQUESTED)
    parent = models.ForeignKey("self", models.SET_NULL, null=True, related_name="children")
    origin = models.CharField(max_length=80)  # "machine:<uuid>"; the project's, for genesis
    why = models.CharField(max_length=200)
    begun = models.BooleanField(default=False)  # whether the agent's conversation had begun
    call_id = models.UUIDField(null=True)  # the model call it was taken for
    guest = models.ForeignKey(Guest, models.PROTECT)
    snapshot = models.CharField(max_length=40, blank=True)  # "" for a template as it is
    backup = models.CharField(max_length=300, blank=True)  # volume of its backup, if one was taken
    manifest = models.ForeignKey(Manifest, models.PROTECT, null=True)
    digest = models.CharField(max_length=64, blank=True)  # what the guest said its files amount to
    changed = models.PositiveIntegerField(default=0)  # files that differ from the parent's
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    captured_at = models.DateTimeField(null=True)

    objects = CheckpointQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=State.values), name="checkpoint_state_is_known"),
            models.UniqueConstraint(fields=["origin", "number"], name="checkpoint_number_once_per_origin"),
        ]
        indexes = [models.Index(fields=["project", "-created_at"], name="checkpoint_by_project")]

    def __str__(self) -> str:
        return self.handle

    @property
    def subject(self) -> str:
        return f"checkpoint:{self.id}"

    @property
    def source(self) -> Source:
        """What a guest is made from to branch here."""
        return Source(self.guest, self.snapshot, self.branching, self.backup)

    @property
    def newest(self) -> bool:
        """Whether its guest has no later snapshot, nor will soon."""
        later = Checkpoint.objects.filter(guest=self.guest_id, created_at__gt=self.created_at)
        return not later.exclude(state=State.BROKEN).exists()

    @property
    def branching(self) -> Branching:
        """How a machine is made from it, and what that costs; or why none can be."""
        return choose(self.guest, self.snapshot, newest=self.newest, backup=self.backup)

    @property
    def usable(self) -> bool:
        return self.state == State.CAPTURED

    def move(self, to: State, **also: Any) -> None:
        """Change state along the table; the only writer of it. Raises `Conflict`."""
        sources = [state for state, targets in MOVES.items() if to in targets]
        if not Checkpoint.objects.filter(pk=self.pk, state__in=sources).update(state=to, **also):
            raise Conflict(f"Checkpoint {self.handle} cannot become {to.label.lower()} now.")
        self.state = to
        for name, value in also.items():
            setattr(self, name, value)
