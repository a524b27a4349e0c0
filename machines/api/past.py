"""The past over REST: a project's tree of checkpoints, a machine as it was, and one file of then brought back."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from budgets.api import checked
from checkpoints import actions as checkpoints
from checkpoints.reading import tree
from machines import actions
from machines.keeping import moments, trees
from operations.api import OperationSerializer
from projects import actions as projects
from projects.permissions import acting, require_operating


class NodeSerializer(serializers.Serializer[Any]):
    handle = serializers.CharField()
    parent = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    lane = serializers.CharField(help_text="The name of the lane that it lies on.")
    number = serializers.IntegerField()
    kind = serializers.CharField()
    trigger = serializers.CharField()
    why = serializers.CharField()
    state = serializers.CharField()
    standing = serializers.CharField()
    logical = serializers.BooleanField(
        help_text="Nothing had changed: it shares the state of an earlier one."
    )
    ram = serializers.BooleanField()
    pinned = serializers.BooleanField()
    name = serializers.CharField()
    created_at = serializers.DateTimeField()
    call_number = serializers.IntegerField(allow_null=True)
    spent_micros = serializers.IntegerField(help_text="By its machine, so far.")
    cost_micros = serializers.IntegerField(help_text="Of that, since the machine's checkpoint before it.")
    changed = serializers.IntegerField(help_text="Files that differ from its parent's.")
    forked = serializers.BooleanField(help_text="Whether another lane goes off here.")


class LaneSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(source="lane.name", help_text="The handle of its first checkpoint.")
    forks_at = serializers.CharField(
        source="lane.forks_at", allow_null=True, help_text="The checkpoint that it goes off from."
    )
    began_at = serializers.DateTimeField(source="lane.began_at")
    origin = serializers.CharField(source="lane.origin")
    machine = serializers.CharField(source="machine.handle", default=None, help_text="None: a genesis.")
    title = serializers.CharField(source="machine.title", default=None)
    state = serializers.CharField(source="machine.state", default=None)
    type = serializers.CharField(source="machine.type", default=None)


class FoldSerializer(serializers.Serializer[Any]):
    lane = serializers.CharField()
    first = serializers.CharField(help_text="To be named in `unfold`.")
    last = serializers.CharField()
    count = serializers.IntegerField()
    created_at = serializers.DateTimeField(help_text="Of the last.")
    cost_micros = serializers.IntegerField()
    changed = serializers.IntegerField()


class TreeSerializer(serializers.Serializer[Any]):
    currency = serializers.CharField()
    nodes = NodeSerializer(many=True)
    lanes = LaneSerializer(many=True)
    folds = FoldSerializer(many=True)
    before = serializers.CharField(allow_null=True, help_text="Where the next, older, page begins.")


class TreeAskedSerializer(serializers.Serializer[Any]):
    root = serializers.CharField(default="")  # type: ignore[assignment]
    before = serializers.CharField(default="")
    limit = serializers.IntegerField(default=tree.NODES_MAX, min_value=1, max_value=tree.NODES_MAX)
    fold = serializers.IntegerField(default=0, min_value=0)


class ProjectTree(APIView):
    """The project's checkpoints as a tree, newest first: nodes on lanes, and what is folded between them."""

    @extend_schema(
        parameters=[
            OpenApiParameter("root", str, description="Only this checkpoint and what descends from it."),
            OpenApiParameter("before", str, description="Only those older than this one; see `before`."),
            OpenApiParameter("limit", int, description=f"At most so many, up to {tree.NODES_MAX}."),
            OpenApiParameter("fold", int, description="Fold automatic ones where more than so many follow."),
            OpenApiParameter("unfold", str, many=True, description="The `first` of folds to leave open."),
        ],
        responses=TreeSerializer,
        tags=["checkpoints"],
        operation_id="projects_tree",
    )
    def get(self, request: Request, slug: str) -> Response:
        project = projects.find(slug, user=request.user)
        asked = checked(TreeAskedSerializer, request.query_params)
        named = {
            name: checkpoints.find(asked[name], user=request.user) if asked[name] else None
            for name in ("root", "before")
        }
        found = tree.tree(
            project,
            **named,
            limit=asked["limit"],
            fold=asked["fold"],
            unfold=request.query_params.getlist("unfold"),
        )
        answer = {
            "currency": project.currency,
            "nodes": found.nodes,
            "lanes": trees.with_machines(found.lanes),
            "folds": found.folds,
            "before": found.before,
        }
        return Response(TreeSerializer(answer).data)


class MomentSerializer(serializers.Serializer[Any]):
    checkpoint = serializers.CharField(source="checkpoint.handle", default=None, help_text="null: now.")
    standing = serializers.CharField(source="checkpoint.standing", default=None)
    at = serializers.DateTimeField()
    previous = serializers.CharField(allow_null=True, help_text="The machine's checkpoint before it.")
    next = serializers.CharField(allow_null=True)
    log_until = serializers.IntegerField(help_text="Ask for the log with `until` this, and `tail`.")
    log_at = serializers.DateTimeField(allow_null=True, help_text="When the last line was printed.")
    calls = serializers.IntegerField(help_text="Model calls so far.")
    spent_micros = serializers.IntegerField()
    currency = serializers.CharField(source="machine.project.currency")
    files = serializers.IntegerField(source="checkpoint.manifest.files", default=None)
    bytes = serializers.IntegerField(source="checkpoint.manifest.size", default=None)
    changed = serializers.IntegerField(source="checkpoint.changed", default=None)
    session = serializers.CharField(source="checkpoint.session", default=None)
    transcript = serializers.CharField(source="checkpoint.transcript", default=None)
    transcript_bytes = serializers.IntegerField(source="checkpoint.transcript_bytes", default=None)


class MachineAt(APIView):
    """The machine as of one of its checkpoints: how far its log, its books, its files and its conversation were."""

    @extend_schema(
        parameters=[
            OpenApiParameter("checkpoint", str, description="One of its own: handle or id. Without it: now.")
        ],
        responses=MomentSerializer,
        tags=["machines"],
        operation_id="machines_at",
    )
    def get(self, request: Request, reference: str) -> Response:
        machine = actions.find(reference, user=request.user)
        asked = request.query_params.get("checkpoint", "")
        checkpoint = checkpoints.find(asked, user=request.user) if asked else None
        return Response(MomentSerializer(moments.at(machine, checkpoint)).data)


class RestoreFileSerializer(serializers.Serializer[Any]):
    checkpoint = serializers.CharField(help_text="Handle or id; of the same project.")
    path = serializers.CharField(trim_whitespace=False, help_text="Relative to the workspace.")
    delete = serializers.BooleanField(
        default=False, help_text="Where the checkpoint has no such file, delete the machine's."
    )


class MachineRestoreFile(APIView):
    """Put one file of a checkpoint into the machine's workspace. The present is kept in a checkpoint first."""

    @extend_schema(
        request=RestoreFileSerializer,
        responses={202: OperationSerializer},
        tags=["machines"],
        operation_id="machines_restore_file",
    )
    def post(self, request: Request, reference: str) -> Response:
        machine = actions.find(reference, user=request.user)
        require_operating(request.user, machine)
        asked = checked(RestoreFileSerializer, request.data)
        checkpoint = checkpoints.find(asked["checkpoint"], user=request.user)
        operation = actions.restore_file(
            machine, checkpoint, asked["path"], by=acting(request.user), delete=asked["delete"]
        )
        return Response(OperationSerializer(operation).data, status=202)
