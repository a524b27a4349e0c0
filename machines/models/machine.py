"""Machines, the files they start with, and their tokens."""

import hashlib
import uuid
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import connection, models
from django.db.models import OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from budgets.models import LedgerEntry
from checkpoints.models import Checkpoint
from guests.models import Guest
from guests.profiles import Profile
from machines import types
from machines.states import ENDED, LIVE, MOVES, VERBS, State
from projects.errors import Conflict
from projects.models import Project, User


class MachineQuerySet(models.QuerySet["Machine"]):
    def permitted(self, user: User | AnonymousUser, permission: str) -> "MachineQuerySet":
        """Machines of the projects where `user` holds `permission`."""
        return self.filter(project__in=Project.objects.permitted(user, permission))

    def with_spending(self) -> "MachineQuerySet":
        """With `spent_micros`: what each machine's calls cost, from the ledger."""
        entries = LedgerEntry.objects.filter(machine_id=OuterRef("pk")).order_by()
        total = entries.values("machine_id").annotate(total=Sum("micros")).values("total")
        return self.annotate(spent_micros=Coalesce(Subquery(total), 0))

    def live(self) -> "MachineQuerySet":
        return self.filter(state__in=LIVE)


class Machine(models.Model):
    """An Intelligent Machine: one prompt, run by one type of agent in one guest, spawned from one checkpoint."""

    class PausedFor(models.TextChoices):
        PERSON = "person"
        BUDGET = "budget"
        BREAKER = "breaker"  # its project spent too fast: see budgets.breaker
        GUEST = "guest"  # it was switched off from outside

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.PositiveIntegerField(unique=True)
    project = models.ForeignKey(Project, models.CASCADE)
    type = models.CharField(max_length=40)
    prompt = models.TextField()
    model = models.CharField(max_length=80, blank=True)  # "" for the type's own choice
    source = models.ForeignKey(Checkpoint, models.PROTECT, related_name="spawned")
    guest = models.OneToOneField(Guest, models.PROTECT)
    continues = models.BooleanField(default=False)  # the agent goes on with the conversation in its source
    wall_seconds = models.PositiveIntegerField()
    network = models.CharField(max_length=10, choices=Profile, default=Profile.OPEN)
    # Its departures from its type's and its project's policy: see checkpoints.triggers.policy.
    checkpoints: "models.JSONField[dict[str, object], dict[str, object]]" = models.JSONField(default=dict)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
    idempotency_key = models.CharField(max_length=100, null=True)  # noqa: DJ001 - unique only where given
    # Its model calls are answered from the record of that machine, and no provider is asked: see gateway.replay.
    replays = models.ForeignKey("self", models.SET_NULL, null=True, related_name="replayed_by")
    replays_leniently = models.BooleanField(default=False)  # goes on where the agent departs from the record
    replays_paced = models.BooleanField(default=False)  # answers take as long as they took

    state = models.CharField(max_length=15, choices=State, default=State.REQUESTED)
    paused_for = models.CharField(max_length=10, choices=PausedFor, blank=True)
    paused_at = models.DateTimeField(null=True)
    sentence = models.TextField(blank=True)  # why it is paused, or how it ended
    # Paused for a budget: by resource, the room it needs to go on. Kept when it does, until it is refused again.
    awaiting: "models.JSONField[dict[str, int], dict[str, int]]" = models.JSONField(default=dict)

    # The run: one start of the agent. A rollback or a resumption makes another; reports of an older one are void.
    run = models.UUIDField(null=True)
    run_started_at = models.DateTimeField(null=True)
    exit_code = models.IntegerField(null=True)
    heard_at = models.DateTimeField(null=True)
    present = models.ForeignKey(
        Checkpoint, models.SET_NULL, null=True, related_name="+"
    )  # the latest on its line

    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    objects = MachineQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=State.values), name="machine_state_is_known"),
            models.CheckConstraint(condition=Q(network__in=Profile.values), name="machine_network_is_known"),
            models.UniqueConstraint(fields=["project", "idempotency_key"], name="machine_once_per_key"),
        ]
        indexes = [models.Index(fields=["project", "-number"], name="machine_by_project")]

    def __str__(self) -> str:
        return self.handle

    @property
    def handle(self) -> str:
        return f"m{self.number}"

    @staticmethod
    def number_of(handle: str) -> int | None:
        """The number in a handle ("m12"); None for what is no handle."""
        digits = handle[1:]
        return int(digits) if handle[:1] == "m" and digits.isdecimal() and len(digits) < 9 else None

    @property
    def subject(self) -> str:
        return f"machine:{self.id}"

    @property
    def creator_id(self) -> int | None:
        """Whose it is: they may operate it, even where they may not operate every machine."""
        return self.created_by_id

    @property
    def title(self) -> str:
        """The prompt's first line, for lists."""
        return self.prompt.strip().partition("\n")[0][:120] or f"Goes on from {self.source.handle}"

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def verbs(self) -> list[str]:
        """What may be asked of it in this state."""
        possible = [verb for verb, states in VERBS.items() if self.state in states]
        return possible if self.hears else [verb for verb in possible if verb != "message"]

    @property
    def hears(self) -> bool:
        """Whether its agent can be told more. A replay's cannot: the record knows nothing of it."""
        return self.replays_id is None and types.converses(self.type)

    def move(self, to: State, **also: Any) -> None:
        """Change state along the table; the only writer of it. Raises `Conflict`, naming the state it is in."""
        sources = [state for state, targets in MOVES.items() if to in targets]
        if to in ENDED:
            also.setdefault("ended_at", timezone.now())
        if not Machine.objects.filter(pk=self.pk, state__in=sources).update(state=to, **also):
            self.refresh_from_db(fields=["state"])
            raise Conflict(
                f"Machine {self.handle} is {self.get_state_display().lower()}; it cannot be {to.label.lower()}.",
                state=self.state,
                possible=self.verbs,
            )
        self.state = to
        for name, value in also.items():
            setattr(self, name, value)


class MachineFile(models.Model):
    """A file modification that a machine starts with; its path is relative to the workspace."""

    machine = models.ForeignKey(Machine, models.CASCADE, related_name="files")
    path = models.CharField(max_length=500)
    content = models.BinaryField()
    mode = models.PositiveSmallIntegerField(default=0o644)
    removes = models.BooleanField(default=False)  # the file is deleted instead

    class Meta:
        constraints = [models.UniqueConstraint(fields=["machine", "path"], name="machine_file_once")]

    def __str__(self) -> str:
        return self.path


class MachineToken(models.Model):
    """What a guest shows the gateway. Worth nothing elsewhere; dead when the machine ends or is rolled back."""

    machine = models.ForeignKey(Machine, models.CASCADE, related_name="tokens")
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"token of {self.machine_id}"

    @staticmethod
    def digest_of(key: str) -> str:
        return hashlib.sha256(key.encode()).hexdigest()


def next_number() -> int:
    """The next machine number; handles ("m12") are never used twice."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('machines_number')")
        return int(cursor.fetchone()[0])
