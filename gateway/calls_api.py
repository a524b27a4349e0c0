"""Model calls over REST: what they were, what was said in them, what of that is kept, and a run played again."""

from typing import Any

from django.db.models import F, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from gateway import actions, recordings
from gateway.models import Call, RecordingMode
from machines import actions as machines
from machines.api.serializers import MachineSerializer
from machines.models import Machine
from projects import actions as projects
from projects.permissions import acting, operates, require
from projects.roles import Right


class CallSerializer(serializers.ModelSerializer[Call]):
    recorded = serializers.CharField(
        source="recording.mode", default=None, read_only=True, help_text="full, redacted, or null."
    )
    replayed = serializers.IntegerField(
        source="replayed.original.number",
        default=None,
        read_only=True,
        help_text="In a replay: the call whose answer was given.",
    )
    departure = serializers.CharField(
        source="replayed.departure",
        default=None,
        read_only=True,
        help_text="In a lenient replay: how the request differs from the record.",
    )

    class Meta:
        model = Call
        fields = [
            "number",
            "model",
            "dialect",
            "upstream",
            "offline",
            "state",
            "status",
            "error",
            "input_tokens",
            "cached_tokens",
            "cache_write_tokens",
            "output_tokens",
            "cost_micros",
            "started_at",
            "first_byte_ms",
            "duration_ms",
            "stall_ms",
            "recorded",
            "replayed",
            "departure",
        ]
        read_only_fields = fields


class RecordedSerializer(serializers.Serializer[Any]):
    call = CallSerializer()
    request = serializers.CharField(help_text="As the agent sent it; empty where it was too large.")
    response = serializers.CharField(help_text="As it was answered: JSON, or server-sent events.")
    content_type = serializers.CharField(help_text="Of the response.")


class ReplaySerializer(serializers.Serializer[Any]):
    lenient = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Go on with the next answer where the agent departs from the record.",
    )
    pace = serializers.BooleanField(
        required=False, default=False, help_text="Answers take as long as they took."
    )


class PolicySerializer(serializers.Serializer[Any]):
    mode = serializers.ChoiceField(choices=RecordingMode.choices)
    days = serializers.IntegerField(
        required=False,
        allow_null=True,
        default=None,
        min_value=1,
        max_value=actions.DAYS_MAX,
        help_text="How long it is kept; as before, unless given.",
    )


class MachineCalls(ListAPIView[Call]):
    """The model calls of a machine, newest first."""

    serializer_class = CallSerializer
    queryset = Call.objects.none()

    def get_queryset(self) -> QuerySet[Call]:
        machine = machines.find(self.kwargs["reference"], user=self.request.user)
        found = Call.objects.filter(machine=machine).annotate(created_at=F("started_at"))  # what pages go by
        bodies = ("recording__request", "recording__response")
        return found.select_related("recording", "replayed__original").defer(*bodies)

    @extend_schema(tags=["calls"], operation_id="calls_list")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.list(request, *args, **kwargs)


class MachineCall(APIView):
    """What was said in one call. Reading it is recorded, as an event."""

    @extend_schema(responses=RecordedSerializer, tags=["calls"], operation_id="calls_show")
    def get(self, request: Request, reference: str, number: int) -> Response:
        machine = machines.find(reference, user=request.user)
        _require_reader(request, machine)
        call = actions.call_of(machine, number)
        bodies = actions.read(call, by=acting(request.user))
        said = {
            "call": call,
            "request": bodies.request.decode(errors="replace"),
            "response": bodies.response.decode(errors="replace"),
            "content_type": call.recording.content_type,
        }
        return Response(RecordedSerializer(said).data)


class MachineReplay(APIView):
    """Run it again from the record of its calls: no model is asked, and nothing is paid."""

    @extend_schema(
        request=ReplaySerializer,
        responses={202: MachineSerializer},
        tags=["machines"],
        operation_id="machines_replay",
    )
    def post(self, request: Request, reference: str) -> Response:
        machine = machines.find(reference, user=request.user)
        require(request.user, Right.SPAWN, machine.project)
        asked = ReplaySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made = actions.replay(
            machine,
            by=acting(request.user),
            lenient=asked.validated_data["lenient"],
            paced=asked.validated_data["pace"],
        )
        return Response(MachineSerializer(machines.find(made.handle, user=request.user)).data, status=202)


class ProjectRecording(APIView):
    """What a project keeps of its calls' bodies, and for how many days."""

    @extend_schema(responses=PolicySerializer, tags=["projects"], operation_id="projects_recording")
    def get(self, request: Request, slug: str) -> Response:
        project = projects.find(slug, user=request.user)
        return Response(PolicySerializer(recordings.policy_of(project.id)).data)

    @extend_schema(
        request=PolicySerializer,
        responses=PolicySerializer,
        tags=["projects"],
        operation_id="projects_recording_set",
    )
    def put(self, request: Request, slug: str) -> Response:
        """Set it. Fewer days hold for what is kept already, too."""
        project = projects.find(slug, user=request.user)
        require(request.user, "manage_project", project)
        asked = PolicySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        policy = actions.set_recording(project, **asked.validated_data, by=acting(request.user))
        return Response(PolicySerializer(policy).data)


def _require_reader(request: Request, machine: Machine) -> None:
    """Bodies are for those who run machines or the project; who may only look sees the figures."""
    if not operates(request.user, machine):
        require(request.user, Right.MANAGE, machine.project)
