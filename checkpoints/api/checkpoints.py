"""Checkpoints over REST: what they are, what is said of them, what files they hold.

How two differ is in `checkpoints.api.reading`, branching in `machines.api.machines`.
"""

from typing import Any

from django.db.models import Q
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from budgets.api import checked
from checkpoints import actions, marks
from checkpoints.contents import files
from checkpoints.models import Checkpoint, CheckpointQuerySet
from checkpoints.reading import lines
from checkpoints.states import State
from guests.branching import Branching
from projects.errors import Invalid
from projects.permissions import acting, require_operating
from proxmox.storage_kinds import Branch


class CheckpointSerializer(serializers.ModelSerializer[Checkpoint]):
    project = serializers.CharField(source="project.slug", read_only=True)
    parent = serializers.CharField(source="parent.handle", default=None, read_only=True)  # type: ignore[assignment]
    shares = serializers.CharField(
        source="shares.handle",
        default=None,
        read_only=True,
        help_text="The one whose state it shares, since nothing had changed.",
    )
    standing = serializers.CharField(
        read_only=True,
        help_text="Its state, as far as it has come: captured, durable (a backup has it too), verified, …",
    )
    files = serializers.IntegerField(source="manifest.files", default=None, read_only=True)
    bytes = serializers.IntegerField(source="manifest.size", default=None, read_only=True)
    vmid = serializers.IntegerField(source="guest.vmid", read_only=True)

    class Meta:
        model = Checkpoint
        fields = [
            "id",
            "handle",
            "project",
            "origin",
            "number",
            "kind",
            "state",
            "standing",
            "why",
            "trigger",
            "parent",
            "shares",
            "ram",
            "pinned",
            "name",
            "note",
            "call_id",
            "call_number",
            "spent_micros",
            "vmid",
            "snapshot",
            "files",
            "bytes",
            "changed",
            "error",
            "created_at",
            "captured_at",
            "durable_at",
            "proven_at",
            "proven_depth",
            "pruned_at",
        ]
        read_only_fields = fields


class BranchingSerializer(serializers.Serializer[Branching]):
    strategy = serializers.ChoiceField(
        choices=[one.value for one in Branch], allow_null=True, help_text="null: it cannot be branched from."
    )
    sentence = serializers.CharField(help_text="The strategy in words, or why there is none.")
    copies_bytes = serializers.IntegerField(help_text="How much is copied; 0 for a linked clone.")


class CheckpointDetailSerializer(CheckpointSerializer):
    branching = BranchingSerializer(read_only=True)
    previous = serializers.SerializerMethodField(help_text="The machine's checkpoint before it.")
    next = serializers.SerializerMethodField(help_text="The machine's checkpoint after it.")

    class Meta(CheckpointSerializer.Meta):
        fields = [
            *CheckpointSerializer.Meta.fields,
            "begun",
            "session",
            "transcript",
            "transcript_bytes",
            "ledger_entry",
            "backup_bytes",
            "unique_bytes",
            "stored_bytes",
            "branching",
            "previous",
            "next",
        ]
        read_only_fields = fields

    def get_previous(self, checkpoint: Checkpoint) -> str | None:
        return lines.neighbours(checkpoint).previous

    def get_next(self, checkpoint: Checkpoint) -> str | None:
        return lines.neighbours(checkpoint).next


class MarksSerializer(serializers.Serializer[Any]):
    pinned = serializers.BooleanField(required=False, help_text="Kept whatever the retention says.")
    name = serializers.CharField(
        required=False, allow_blank=True, help_text="Unique in its project; a milestone has one."
    )
    note = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)


class EntrySerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    kind = serializers.ChoiceField(choices=["file", "dir", "link"])
    mode = serializers.IntegerField(required=False)
    size = serializers.IntegerField(required=False)
    sha256 = serializers.CharField(required=False)
    target = serializers.CharField(required=False)
    mtime_ns = serializers.IntegerField(required=False)


class CheckpointFilters(serializers.Serializer[Any]):
    """Query parameters; those that are given have to hold together."""

    project = serializers.CharField(required=False, help_text="Only of this project.")
    machine = serializers.CharField(required=False, help_text="Only those that this machine left.")
    origin = serializers.CharField(
        required=False, help_text="Only those that this left: machine:<id>, project:<id>."
    )
    kind = serializers.ChoiceField(choices=Checkpoint.Kind.choices, required=False)
    state = serializers.ChoiceField(choices=State.choices, required=False)
    trigger = serializers.ChoiceField(
        choices=Checkpoint.Trigger.choices, required=False, help_text="What it was taken for."
    )
    pinned = serializers.BooleanField(required=False, allow_null=True, default=None)
    milestone = serializers.BooleanField(
        required=False, default=False, help_text="Only named, asked for, or final ones."
    )
    since = serializers.DateTimeField(required=False, help_text="Only created at this time or later.")
    until = serializers.DateTimeField(required=False, help_text="Only created before this time.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in attrs.items() if value is not None}


_LOOKUPS = {"project": "project__slug", "since": "created_at__gte", "until": "created_at__lt"}


@extend_schema_view(
    get=extend_schema(parameters=[CheckpointFilters], tags=["checkpoints"], operation_id="checkpoints_list")
)
class Checkpoints(ListAPIView[Checkpoint]):
    """Checkpoints that you may see, newest first."""

    serializer_class = CheckpointSerializer
    queryset = Checkpoint.objects.none()

    def get_queryset(self) -> CheckpointQuerySet:
        asked = checked(CheckpointFilters, self.request.query_params)
        machine, milestone = asked.pop("machine", ""), asked.pop("milestone", False)
        found = Checkpoint.objects.permitted(self.request.user, "view_project")
        found = found.filter(**{_LOOKUPS.get(name, name): value for name, value in asked.items()})
        if machine:
            found = found.filter(Q(handle__startswith=f"{machine}.c") | Q(origin=f"machine:{machine}"))
        if milestone:
            found = found.filter(~Q(name="") | Q(kind__in=Checkpoint.MILESTONES))
        return found.select_related("project", "parent", "shares", "manifest", "guest")


class CheckpointDetail(APIView):
    """One checkpoint, by handle or id."""

    @extend_schema(
        responses=CheckpointDetailSerializer, tags=["checkpoints"], operation_id="checkpoints_show"
    )
    def get(self, request: Request, reference: str) -> Response:
        return Response(CheckpointDetailSerializer(actions.find(reference, user=request.user)).data)

    @extend_schema(
        request=MarksSerializer,
        responses=CheckpointDetailSerializer,
        tags=["checkpoints"],
        operation_id="checkpoints_mark",
    )
    def patch(self, request: Request, reference: str) -> Response:
        """Pin it, name it, or write a note on it; what is not given stays."""
        checkpoint = actions.find(reference, user=request.user)
        require_operating(request.user, checkpoint)
        asked = MarksSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        marked = marks.mark(checkpoint, by=acting(request.user), **asked.validated_data)
        return Response(CheckpointDetailSerializer(marked).data)


class ManifestSerializer(serializers.ModelSerializer[Checkpoint]):
    """What a checkpoint's state amounts to, in figures that two of them can be compared by."""

    files = serializers.IntegerField(source="manifest.files", default=None, read_only=True)
    bytes = serializers.IntegerField(source="manifest.size", default=None, read_only=True)
    list_digest = serializers.CharField(
        source="manifest.digest", default=None, read_only=True, help_text="SHA-256 of the list of files."
    )

    class Meta:
        model = Checkpoint
        fields = [
            "handle", "files", "bytes", "list_digest", "digest", "work_digest", "rest_digest", "changed",
            "session", "transcript", "transcript_bytes",
        ]  # fmt: skip
        read_only_fields = fields
        extra_kwargs = {
            "digest": {"help_text": "What the guest said its files amount to."},
            "work_digest": {"help_text": "The same without the agent's own history."},
            "rest_digest": {"help_text": "Of what else is on its disk; empty where it is not known."},
        }


class CheckpointManifest(APIView):
    """What a checkpoint's state amounts to: digests, counts, and how far its conversation was. Its files: `files/`."""

    @extend_schema(responses=ManifestSerializer, tags=["checkpoints"], operation_id="checkpoints_manifest")
    def get(self, request: Request, reference: str) -> Response:
        return Response(ManifestSerializer(actions.find(reference, user=request.user)).data)


class FilesSerializer(serializers.Serializer[Any]):
    handle = serializers.CharField()
    files = EntrySerializer(many=True)


class CheckpointFiles(APIView):
    """The files of a checkpoint's workspace."""

    @extend_schema(responses=FilesSerializer, tags=["checkpoints"], operation_id="checkpoints_files")
    def get(self, request: Request, reference: str) -> Response:
        checkpoint = actions.find(reference, user=request.user)
        return Response({"handle": checkpoint.handle, "files": files.entries(checkpoint)})


class CheckpointFile(APIView):
    """One file's bytes."""

    @extend_schema(
        parameters=[OpenApiParameter("path", str, required=True, description="Relative to the workspace.")],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
        tags=["checkpoints"],
        operation_id="checkpoints_file",
    )
    def get(self, request: Request, reference: str) -> HttpResponse:
        path = request.query_params.get("path", "")
        if not path:
            raise Invalid("Say which file: ?path=src/main.py")
        content = files.content(actions.find(reference, user=request.user), path)
        # Agents wrote it: never let a browser interpret it on our origin.
        return HttpResponse(
            content,
            content_type="application/octet-stream",
            headers={"X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"},
        )
