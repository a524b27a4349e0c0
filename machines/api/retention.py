"""Retention over REST: what of a project's checkpoints would go, the rules for it, and having it done."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from budgets.api import checked
from checkpoints.keeping import pruning, retention
from checkpoints.keeping.retention import COUNTS
from machines.keeping import pruning as machines
from machines.keeping.pruning import Preview
from projects import actions as projects
from projects.permissions import acting, require

SHOWN = 500


@extend_schema_field({"oneOf": [{"type": "boolean"}, {"type": "integer", "minimum": 0}]})
class Milestones(serializers.Field[Any, Any, Any, Any]):
    """True: kept for ever; false: not for being milestones; else for so many days."""

    def to_internal_value(self, data: Any) -> Any:
        words: dict[str, Any] = {"true": True, "false": False}
        text = str(data).lower()
        return words.get(text, int(text) if text.isdecimal() else data)

    def to_representation(self, value: Any) -> Any:
        return value


class RetentionSerializer(serializers.Serializer[Any]):
    """How many checkpoints of each machine are kept; each rule counts what those before it do not keep."""

    keep_last = serializers.IntegerField(required=False, help_text="The last ones.")
    hourly = serializers.IntegerField(required=False, help_text="The newest of so many hours.")
    daily = serializers.IntegerField(required=False)
    weekly = serializers.IntegerField(required=False)
    monthly = serializers.IntegerField(required=False)
    milestones = Milestones(
        required=False,
        help_text="Final ones, those that were asked for, and those with a name: true (for ever), false, or days.",
    )


class FateSerializer(serializers.Serializer[Any]):
    handle = serializers.CharField()
    stays = serializers.BooleanField()
    reason = serializers.CharField()
    stored_bytes = serializers.IntegerField(help_text="Of its contents, what no other checkpoint has.")
    backup_bytes = serializers.IntegerField()


class RetentionPreviewSerializer(serializers.Serializer[Any]):
    project = serializers.CharField()
    rules = RetentionSerializer()
    keeps = serializers.IntegerField(help_text="How many checkpoints stay.")
    goes = serializers.IntegerField(help_text="How many go.")
    frees_bytes = serializers.IntegerField(help_text="Of contents in our database.")
    frees_backup_bytes = serializers.IntegerField()
    frees_snapshots = serializers.IntegerField(help_text="What they take up Proxmox does not say.")
    pruning = serializers.IntegerField(help_text="That are being deleted already.")
    checkpoints = FateSerializer(many=True, help_text=f"Those that go first; {SHOWN} at most.")
    more = serializers.IntegerField(help_text="How many are not listed.")


class PruneSerializer(serializers.Serializer[Any]):
    dry_run = serializers.BooleanField(default=False)


ASKED = [OpenApiParameter(name, int, description="Instead of the project's own rule.") for name in COUNTS]
ASKED += [OpenApiParameter("milestones", str, description="true, false, or days.")]


class ProjectRetention(APIView):
    """What stays of a project's checkpoints, what goes, why, and what that frees."""

    @extend_schema(
        parameters=ASKED,
        responses=RetentionPreviewSerializer,
        tags=["checkpoints"],
        operation_id="projects_retention_preview",
    )
    def get(self, request: Request, slug: str) -> Response:
        """Nothing is deleted. Other rules than the project's can be tried."""
        project = projects.find(slug, user=request.user)
        asked = checked(RetentionSerializer, request.query_params)
        rules = retention.parse(asked, pruning.rules_of(project))
        return self._answer(slug, machines.preview(project, rules))

    @extend_schema(
        request=RetentionSerializer,
        responses=RetentionPreviewSerializer,
        tags=["checkpoints"],
        operation_id="projects_retention_set",
    )
    def put(self, request: Request, slug: str) -> Response:
        """Set the project's rules; what is not said is as in the settings."""
        project = projects.find(slug, user=request.user)
        require(request.user, "manage_project", project)
        asked = checked(RetentionSerializer, request.data)
        pruning.set_rules(project, asked, by=acting(request.user))
        return self._answer(slug, machines.preview(project))

    @extend_schema(
        request=PruneSerializer,
        responses={200: RetentionPreviewSerializer, 202: RetentionPreviewSerializer},
        tags=["checkpoints"],
        operation_id="projects_retention_prune",
    )
    def post(self, request: Request, slug: str) -> Response:
        """Have deleted what goes by the project's rules; with `dry_run`, only say what that is."""
        project = projects.find(slug, user=request.user)
        require(request.user, "manage_project", project)
        dry = checked(PruneSerializer, request.data)["dry_run"]
        found = machines.preview(project)
        if not dry:
            machines.prune(project, by=acting(request.user))
        return self._answer(slug, found, status=200 if dry else 202)

    def _answer(self, slug: str, found: Preview, status: int = 200) -> Response:
        listed = sorted(found.fates, key=lambda one: one.stays)
        answer = {
            "project": slug,
            "rules": found.rules.plain,
            "keeps": len(found.fates) - len(found.going),
            "goes": len(found.going),
            "frees_bytes": found.frees_bytes,
            "frees_backup_bytes": found.frees_backup_bytes,
            "frees_snapshots": found.snapshots,
            "pruning": found.pruning,
            "checkpoints": listed[:SHOWN],
            "more": max(len(listed) - SHOWN, 0),
        }
        return Response(RetentionPreviewSerializer(answer).data, status=status)
