"""Model calls, as the pages and the API show them, and the upstreams that answer them. Costs are in the ledger."""

import uuid
from urllib.parse import urlsplit

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from machines.models import Machine
from projects.models import Project


class Call(models.Model):
    """One model call of one machine."""

    class State(models.TextChoices):
        ADMITTED = "admitted"  # paid for, and on its way to the provider
        STREAMING = "streaming"  # the provider is answering
        DONE = "done"
        FAILED = "failed"  # broke off; charged by what is known
        RELEASED = "released"  # refused by the provider; cost nothing

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    machine = models.ForeignKey(Machine, models.CASCADE, related_name="calls")
    number = models.PositiveIntegerField()  # 1, 2, … within the machine
    reservation_id = models.UUIDField()
    request_id = models.CharField(max_length=100, blank=True)  # the provider's
    model = models.CharField(max_length=100)
    dialect = models.CharField(max_length=10, default="messages")  # of the API that the agent spoke
    upstream = models.CharField(
        max_length=60, blank=True
    )  # who answered; "": nobody did, or we did ourselves
    attempts = models.PositiveSmallIntegerField(default=0)  # requests sent to upstreams for it
    offline = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=State, default=State.ADMITTED)
    status = models.PositiveSmallIntegerField(null=True)  # HTTP status of the provider's answer
    error = models.TextField(blank=True)

    input_tokens = models.PositiveBigIntegerField(default=0)
    cached_tokens = models.PositiveBigIntegerField(default=0)
    cache_write_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost_micros = models.PositiveBigIntegerField(default=0)

    started_at = models.DateTimeField()
    first_byte_ms = models.PositiveIntegerField(null=True)
    duration_ms = models.PositiveIntegerField(null=True)
    stall_ms = models.PositiveIntegerField(default=0)  # the answer waited for the checkpoint
    checkpoint_id = models.UUIDField(null=True)

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(fields=["machine", "number"], name="call_number_once_per_machine"),
            models.CheckConstraint(
                condition=Q(state__in=["admitted", "streaming", "done", "failed", "released"]),
                name="call_state_is_known",
            ),
        ]
        indexes = [
            models.Index(fields=["started_at"], name="call_by_time"),
            models.Index(
                fields=["started_at"], condition=Q(state__in=["admitted", "streaming"]), name="call_open"
            ),
        ]

    def __str__(self) -> str:
        return f"call {self.number} of {self.machine_id}"


class RecordingMode(models.TextChoices):
    OFF = "off"
    REDACTED = "redacted"  # what looks like a secret is left out, and so are images and documents
    FULL = "full"


class RecordingPolicy(models.Model):
    """What a project keeps of its model calls, and for how long. Without one the settings say it."""

    project = models.OneToOneField(Project, models.CASCADE, primary_key=True, related_name="recording_policy")
    mode = models.CharField(max_length=10, choices=RecordingMode)
    days = models.PositiveSmallIntegerField()

    class Meta:
        verbose_name_plural = "recording policies"
        constraints = [
            models.CheckConstraint(
                condition=Q(mode__in=["off", "redacted", "full"]), name="recording_mode_is_known"
            ),
            models.CheckConstraint(condition=Q(days__gte=1), name="recording_days_are_some"),
        ]

    def __str__(self) -> str:
        return f"{self.project_id}: {self.mode}, {self.days} days"


class Recording(models.Model):
    """The bodies of one call, compressed and encrypted; None where they were too large. See gateway.recordings."""

    call = models.OneToOneField(Call, models.CASCADE, primary_key=True, related_name="recording")
    mode = models.CharField(max_length=10, choices=RecordingMode)
    run = models.UUIDField(null=True)  # the start of the agent that the call belongs to
    shape = models.CharField(max_length=32)  # of the request: calls of another shape cannot be the same
    request = models.BinaryField(null=True)
    request_bytes = models.PositiveIntegerField()
    response = models.BinaryField(null=True)
    response_bytes = models.PositiveIntegerField()
    status = models.PositiveSmallIntegerField()
    content_type = models.CharField(max_length=100)
    complete = models.BooleanField()  # False: the answer broke off
    recorded_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"recording of {self.call_id}"


class Replayed(models.Model):
    """Which recorded call answered a call of a replay."""

    call = models.OneToOneField(Call, models.CASCADE, primary_key=True, related_name="replayed")
    original = models.ForeignKey(Call, models.CASCADE, related_name="+")
    departure = models.TextField(blank=True)  # in a lenient replay: how the request differs from the record

    def __str__(self) -> str:
        return f"{self.call_id} from {self.original_id}"


class Dialect(models.TextChoices):
    """The APIs that agents and upstreams speak."""

    MESSAGES = "messages", "Anthropic Messages"
    CHAT = "chat", "OpenAI Chat Completions"
    RESPONSES = "responses", "OpenAI Responses"


def every_model() -> list[str]:
    return ["*"]


def an_address(value: str) -> None:
    """Of a server; unlike Django's own validator this takes names without a dot, as containers have them."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValidationError(f"{value!r} is not an address such as https://api.example.com")


class Upstream(models.Model):
    """A server that answers model calls; those configured by environment variables have no row."""

    name = models.SlugField(max_length=60, unique=True)
    base_url = models.CharField(
        max_length=200,
        validators=[an_address],
        help_text="Without /v1, such as https://api.anthropic.com or http://10.0.0.5:11434",
    )
    dialects = ArrayField(
        models.CharField(max_length=10, choices=Dialect), help_text="messages, chat, responses"
    )
    model_patterns = ArrayField(
        models.CharField(max_length=100),
        default=every_model,
        help_text="Models it answers for: claude-*, qwen3:*",
    )
    priority = models.PositiveSmallIntegerField(default=10, help_text="Lower ones are tried first.")
    weight = models.PositiveSmallIntegerField(
        default=100,
        validators=[MinValueValidator(1)],
        help_text="Its share of the machines, among upstreams of the same priority.",
    )
    free = models.BooleanField(
        default=False, help_text="Calls cost no money: a server of your own. Tokens and calls still count."
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["priority", "name"]
        constraints = [models.CheckConstraint(condition=Q(weight__gte=1), name="upstream_weight_is_positive")]

    def __str__(self) -> str:
        return self.name


class UpstreamKey(models.Model):
    """A key of an upstream. The secret itself can be set, and never be seen again."""

    upstream = models.ForeignKey(Upstream, models.CASCADE, related_name="keys")
    label = models.CharField(max_length=60)
    sealed = models.BinaryField(editable=False)  # the secret, encrypted: `gateway.secrets`
    weight = models.PositiveSmallIntegerField(default=100, validators=[MinValueValidator(1)])
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)]
    )
    tokens_per_minute = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    enabled = models.BooleanField(default=True)
    # What became of it, as the gateway saw it last.
    cooled_until = models.DateTimeField(null=True, blank=True, editable=False)
    refused_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.CharField(max_length=300, blank=True, editable=False)

    class Meta:
        ordering = ["upstream", "label"]
        constraints = [
            models.UniqueConstraint(fields=["upstream", "label"], name="upstream_key_label_once"),
            models.CheckConstraint(condition=Q(weight__gte=1), name="upstream_key_weight_is_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.upstream} {self.label}"
