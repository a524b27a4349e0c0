"""Machines as the API shows them and takes them."""

from typing import Any

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from checkpoints.api.effects import EffectSerializer, not_undone
from checkpoints.triggers import policy
from guests.profiles import Profile
from machines.api.message_serializers import MessageSerializer
from machines.api.predict_serializers import PredictionSerializer
from machines.forecast import predict
from machines.keeping import policies
from machines.models import LogLine, Machine
from machines.states import State
from operations.api import OperationSerializer
from operations.models import Operation

MESSAGES_SHOWN = 100


@extend_schema_field(OpenApiTypes.ANY)
class PolicyField(serializers.Field[Any, Any, Any, Any]):
    """Departures from a policy: a table of single keys, or "every_call" or "none". Raises `InvalidPolicy`."""

    def to_internal_value(self, data: Any) -> dict[str, object]:
        return policy.checked(data)

    def to_representation(self, value: Any) -> Any:
        return value


class MachineSerializer(serializers.ModelSerializer[Machine]):
    handle = serializers.CharField(read_only=True)
    title = serializers.CharField(read_only=True)
    project = serializers.CharField(source="project.slug", read_only=True)
    source = serializers.CharField(source="source.handle", read_only=True)  # type: ignore[assignment]
    present = serializers.CharField(source="present.handle", default=None, read_only=True)
    replays = serializers.CharField(
        source="replays.handle",
        default=None,
        read_only=True,
        help_text="The machine whose record answers it.",
    )
    verbs = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="What may be asked now."
    )
    spent_micros = serializers.IntegerField(read_only=True, help_text="What its model calls cost, so far.")
    currency = serializers.CharField(source="project.currency", read_only=True)
    created_by = serializers.CharField(
        source="created_by.username", default=None, read_only=True, help_text="Who spawned it."
    )
    vmid = serializers.IntegerField(source="guest.vmid", read_only=True)
    node = serializers.CharField(source="guest.node", read_only=True)
    power = serializers.CharField(
        source="guest.power", read_only=True, help_text="As Proxmox last reported it."
    )
    observed_at = serializers.DateTimeField(source="guest.observed_at", read_only=True)

    class Meta:
        model = Machine
        fields = [
            "id",
            "handle",
            "title",
            "project",
            "type",
            "prompt",
            "model",
            "state",
            "paused_for",
            "sentence",
            "verbs",
            "source",
            "present",
            "replays",
            "continues",
            "exit_code",
            "spent_micros",
            "currency",
            "wall_seconds",
            "network",
            "vmid",
            "node",
            "power",
            "observed_at",
            "created_by",
            "created_at",
            "run_started_at",
            "heard_at",
            "ended_at",
        ]
        read_only_fields = fields


class MachineDetailSerializer(MachineSerializer):
    operation = serializers.SerializerMethodField(help_text="What is under way, if anything.")
    policy = serializers.SerializerMethodField(
        help_text="When checkpoints are taken by themselves, in words."
    )
    prediction = serializers.SerializerMethodField(help_text="What was expected of it when it was spawned.")

    messages = serializers.SerializerMethodField(
        help_text=f"What was said to its agent since the prompt, in order; the last {MESSAGES_SHOWN}."
    )

    class Meta(MachineSerializer.Meta):
        fields = [
            *MachineSerializer.Meta.fields,
            "operation",
            "prediction",
            "policy",
            "checkpoints",
            "messages",
        ]
        read_only_fields = fields

    @extend_schema_field(OperationSerializer(allow_null=True))
    def get_operation(self, machine: Machine) -> dict[str, Any] | None:
        active = Operation.objects.active().filter(subject=machine.subject).order_by("created_at").first()
        return dict(OperationSerializer(active).data) if active else None

    @extend_schema_field(OpenApiTypes.STR)
    def get_policy(self, machine: Machine) -> str:
        return policies.summary_of(machine)

    @extend_schema_field(PredictionSerializer(allow_null=True))
    def get_prediction(self, machine: Machine) -> dict[str, Any] | None:
        kept = predict.of(machine)
        return dict(PredictionSerializer(kept).data) if kept else None

    @extend_schema_field(MessageSerializer(many=True))
    def get_messages(self, machine: Machine) -> list[dict[str, Any]]:
        latest = list(machine.messages.order_by("-id")[:MESSAGES_SHOWN])
        return list(MessageSerializer(latest[::-1], many=True).data)


class FileSerializer(serializers.Serializer[Any]):
    path = serializers.CharField(help_text="Relative to the workspace.")
    content = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)
    content_base64 = serializers.CharField(required=False, allow_blank=True)
    mode = serializers.CharField(required=False, default="0644", help_text="Octal permission bits.")
    delete = serializers.BooleanField(required=False, default=False)


class LimitsSerializer(serializers.Serializer[Any]):
    money = serializers.IntegerField(required=False, help_text="Micro-units of the project's currency.")
    tokens = serializers.IntegerField(required=False)
    calls = serializers.IntegerField(required=False)


class BranchSerializer(serializers.Serializer[Any]):
    prompt = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        trim_whitespace=False,
        help_text="Left out, the agent goes on with the conversation in the checkpoint, if there is one.",
    )
    type = serializers.CharField(
        required=False, help_text="See /api/v1/machine-types/. A branch keeps its parent's."
    )
    model = serializers.CharField(required=False, default="", allow_blank=True, max_length=80)
    files = FileSerializer(many=True, required=False, default=list)
    limits = LimitsSerializer(required=False, default=dict, help_text="Caps for this machine alone.")
    wall_seconds = serializers.IntegerField(
        required=False, default=None, allow_null=True, help_text=f"Default {settings.MACHINE_WALL_SECONDS}."
    )
    network = serializers.ChoiceField(
        Profile.choices,
        required=False,
        default="",
        allow_blank=True,
        help_text="A stricter profile than the type's.",
    )
    checkpoints = PolicyField(
        required=False,
        help_text="Departures from the type's and the project's policy, as checkpoint-rules/ takes them. A branch "
        "keeps its parent's.",
    )


class BranchedSerializer(MachineDetailSerializer):
    """The new machine, with what was done outside its source's guest since."""

    not_undone = serializers.SerializerMethodField()

    class Meta(MachineDetailSerializer.Meta):
        fields = [*MachineDetailSerializer.Meta.fields, "not_undone"]
        read_only_fields = fields

    @extend_schema_field(EffectSerializer(many=True))
    def get_not_undone(self, machine: Machine) -> list[dict[str, Any]]:
        return not_undone(machine.source)


class SpawnSerializer(BranchSerializer):
    project = serializers.CharField()
    checkpoint = serializers.CharField(
        required=False, help_text="Handle or id; the project's genesis by default."
    )


class TakeSerializer(serializers.Serializer[Any]):
    why = serializers.CharField(required=False, default="", allow_blank=True, max_length=200)
    ram = serializers.BooleanField(
        required=False,
        default=None,
        allow_null=True,
        help_text="With the guest's memory; see GET for what that takes. By default as the policy has it.",
    )


class MemoryPriceSerializer(serializers.Serializer[Any]):
    possible = serializers.BooleanField()
    bytes = serializers.IntegerField(help_text="Of storage, at most.")
    sentence = serializers.CharField(help_text="What it is good for, or why it is not possible.")


class TakePreviewSerializer(serializers.Serializer[Any]):
    policy = serializers.CharField(help_text="When checkpoints are taken by themselves, in words.")
    ram = MemoryPriceSerializer()


class RollbackSerializer(serializers.Serializer[Any]):
    checkpoint = serializers.CharField(help_text="One of this machine's own: handle or id.")


class TerminateSerializer(serializers.Serializer[Any]):
    grace_seconds = serializers.IntegerField(
        default=0,
        min_value=0,
        max_value=600,
        help_text="Begin only after so long; until then the operation can be cancelled.",
    )


class FallbackSerializer(serializers.Serializer[Any]):
    handle = serializers.CharField()
    turns = serializers.IntegerField(
        help_text="Model calls between it and the checkpoint that was asked for."
    )
    micros = serializers.IntegerField(help_text="What they cost.")
    sentence = serializers.CharField(help_text="The same in words.")


class RollbackPreviewSerializer(serializers.Serializer[Any]):
    checkpoint = serializers.CharField(help_text="Its handle.")
    possible = serializers.BooleanField()
    sentence = serializers.CharField(help_text="Why it is not possible; empty when it is.", allow_blank=True)
    currency = serializers.CharField()
    fallback = FallbackSerializer(
        allow_null=True, help_text="What is gone back to when it turns out that it cannot be restored."
    )
    not_undone = EffectSerializer(many=True, help_text="What was done since outside the guest.")


class RollbackBegunSerializer(OperationSerializer):
    """The operation, with what it will leave as it is."""

    not_undone = serializers.SerializerMethodField()

    class Meta(OperationSerializer.Meta):
        fields = [*OperationSerializer.Meta.fields, "not_undone"]
        read_only_fields = fields

    @extend_schema_field(EffectSerializer(many=True))
    def get_not_undone(self, operation: Operation) -> list[dict[str, Any]]:
        return list(self.context["not_undone"])


class LogLineSerializer(serializers.ModelSerializer[LogLine]):
    class Meta:
        model = LogLine
        fields = ["id", "run", "number", "at", "stream", "text"]
        read_only_fields = fields


class LogSerializer(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=State.choices, help_text="The machine's, now.")
    lines = LogLineSerializer(many=True)


class RoomSerializer(serializers.Serializer[Any]):
    node = serializers.CharField()
    machines = serializers.IntegerField(
        allow_null=True, help_text="How many more fit there, about. Null: nobody knows."
    )
    binds = serializers.CharField(
        help_text="What they use up first: `memory`, or a storage. Empty: nobody knows."
    )
    sentence = serializers.CharField(help_text="The same in words, or what is missing to know it.")


class CountsSerializer(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    states = serializers.DictField(child=serializers.IntegerField(), help_text="By state, every one of them.")
    room = RoomSerializer(help_text="For more machines, on the node where new ones begin.")
    nodes = RoomSerializer(many=True, help_text="The room of every node.")


class MachineTypeSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    summary = serializers.CharField()
    good_at = serializers.JSONField()
    default_model = serializers.CharField()
    checkpoints = serializers.CharField(
        source="checkpoints.summary", help_text="When they are taken, in words."
    )
    network = serializers.CharField(source="network_here")


class MachineTypesSerializer(serializers.Serializer[Any]):
    results = MachineTypeSerializer(many=True)
