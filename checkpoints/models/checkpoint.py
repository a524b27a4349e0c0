"""Checkpoints: the one unit of snapshot, files, conversation and money spent that can be returned to."""

import uuid
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Q

from checkpoints.models.contents import Manifest
from checkpoints.states import MOVES, Depth, State
from guests.branching import Branching, choose
from guests.models import Guest, Source
from projects.errors import Conflict
from projects.models import Project, User


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

    MILESTONES = (Kind.MANUAL, Kind.FINAL)  # that somebody asked for, or that end a machine

    class Trigger(models.TextChoices):
        """What it was taken for."""

        GENESIS = "genesis"
        CALL = "call"  # a model call, or every so many
        MINUTES = "minutes"
        BUDGET = "budget"  # a share of a budget was used since the last
        RISK = "risk"  # before a tool that may do harm
        FILES = "files"  # after a tool that changed files
        REQUEST = "request"
        PAUSE = "pause"
        RETURN = "return"  # the present, before it was left
        END = "end"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE)
    handle = models.CharField(max_length=60, unique=True)  # "m12.c3", "demo.c0"
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind)
    state = models.CharField(max_length=10, choices=State, default=State.REQUESTED)
    parent = models.ForeignKey("self", models.SET_NULL, null=True, related_name="children")
    origin = models.CharField(max_length=80)  # "machine:<uuid>"; the project's, for genesis
    why = models.CharField(max_length=200)
    trigger = models.CharField(max_length=10, choices=Trigger, default=Trigger.REQUEST)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    captured_at = models.DateTimeField(null=True)
    pruned_at = models.DateTimeField(null=True)

    # Where the state is. One that found nothing changed shares the snapshot of an earlier one of its guest.
    guest = models.ForeignKey(Guest, models.PROTECT)
    snapshot = models.CharField(max_length=40, blank=True)  # "" for a template as it is
    may_share = models.BooleanField(default=True)  # that, as its machine's policy has it
    shares = models.ForeignKey("self", models.PROTECT, null=True, related_name="sharers")
    ram = models.BooleanField(default=False)  # with the guest's memory
    backup = models.CharField(max_length=300, blank=True)  # volume of its backup, if one was taken
    backup_bytes = models.BigIntegerField(default=0)
    durable_at = models.DateTimeField(null=True)  # since when the backup is there

    # Its files.
    manifest = models.ForeignKey(Manifest, models.PROTECT, null=True)
    digest = models.CharField(max_length=64, blank=True)  # what the guest said its files amount to
    work_digest = models.CharField(max_length=64, blank=True)  # the same without the agent's history
    rest_digest = models.CharField(
        max_length=64, blank=True
    )  # of what else is on its disk; "" when not known
    changed = models.PositiveIntegerField(default=0)  # files that differ from the parent's
    unique_bytes = models.BigIntegerField(
        null=True
    )  # of contents that no other checkpoint has; null: not reckoned
    stored_bytes = models.BigIntegerField(null=True)  # of those, as they are kept

    # Where the agent's conversation and the books stood.
    begun = models.BooleanField(default=False)  # whether the conversation had begun
    session = models.CharField(max_length=100, blank=True)  # the agent's own name for the conversation
    transcript = models.CharField(max_length=500, blank=True)  # the agent's history file
    transcript_bytes = models.BigIntegerField(default=0)  # how far it was written
    call_id = models.UUIDField(null=True)  # the model call it was taken for
    call_number = models.PositiveIntegerField(null=True)
    ledger_entry = models.BigIntegerField(null=True)  # the last of its machine
    spent_micros = models.BigIntegerField(default=0)  # by its machine, so far
    marks = models.JSONField(default=dict)  # by budget, percent used; only where the policy asks for it

    # What people say of it.
    pinned = models.BooleanField(default=False)  # kept whatever the retention says
    name = models.CharField(max_length=100, blank=True)  # a milestone has one
    note = models.TextField(blank=True)

    # When it was last proven to be restorable, and how deep the proof went.
    proven_at = models.DateTimeField(null=True)
    proven_depth = models.CharField(max_length=10, choices=Depth, blank=True)

    objects = CheckpointQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=State.values), name="checkpoint_state_is_known"),
            models.UniqueConstraint(fields=["origin", "number"], name="checkpoint_number_once_per_origin"),
            models.CheckConstraint(
                condition=Q(proven_at=None, proven_depth="")
                | Q(proven_at__isnull=False, proven_depth__in=Depth.values),
                name="checkpoint_proof_is_dated",
            ),
        ]
        indexes = [
            models.Index(fields=["project", "-created_at"], name="checkpoint_by_project"),
            models.Index(fields=["guest", "-created_at"], name="checkpoint_by_guest"),
            models.Index(fields=["created_at"], name="checkpoint_by_time"),
            models.Index(fields=["manifest"], name="checkpoint_by_manifest"),
        ]

    def __str__(self) -> str:
        return self.handle

    @property
    def creator_id(self) -> int | None:
        """Whose machine it is of; nobody's, for a template."""
        machine = getattr(self.guest, "machine", None)
        return machine.created_by_id if machine else None

    @property
    def subject(self) -> str:
        return f"checkpoint:{self.id}"

    @property
    def holder(self) -> "Checkpoint":
        """The one whose snapshot, and backup, hold its state: itself, unless nothing had changed."""
        return self.shares or self

    @property
    def source(self) -> Source:
        """What a guest is made from to branch here."""
        return Source(self.guest, self.snapshot, self.branching, self.holder.backup)

    @property
    def newest(self) -> bool:
        """Whether its guest has no later snapshot, nor will soon."""
        later = Checkpoint.objects.filter(
            guest=self.guest_id, created_at__gt=self.holder.created_at, shares=None
        )
        return not later.exclude(state__in=(State.BROKEN, State.PRUNED)).exists()

    @property
    def branching(self) -> Branching:
        """How a machine is made from it, and what that costs; or why none can be."""
        return choose(self.guest, self.snapshot, newest=lambda: self.newest, backup=self.holder.backup)

    @property
    def usable(self) -> bool:
        return self.state == State.CAPTURED

    @property
    def milestone(self) -> bool:
        """Whether somebody cares for it: it has a name, was asked for, or is the end of its machine."""
        return bool(self.name) or self.kind in self.MILESTONES

    @property
    def proven(self) -> bool:
        """Whether it was tried out. That its records agree proves little."""
        return self.proven_depth in (Depth.CONTENT, Depth.BOOT)

    @property
    def standing(self) -> str:
        """Its state, as far as it has come: captured, durable (a backup holds it too), verified (it was proven)."""
        if self.state != State.CAPTURED:
            return self.state
        if self.proven:
            return "verified"
        return "durable" if self.holder.backup else "captured"

    def move(self, to: State, **also: Any) -> None:
        """Change state along the table; the only writer of it. Raises `Conflict`."""
        sources = [state for state, targets in MOVES.items() if to in targets]
        if not Checkpoint.objects.filter(pk=self.pk, state__in=sources).update(state=to, **also):
            raise Conflict(
                f"Checkpoint {self.handle} cannot become {to.label.lower()} now.", state=self.state
            )
        self.state = to
        for name, value in also.items():
            setattr(self, name, value)
