"""Operations over REST: what is under way, how far it is, and how it ended."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from operations import actions
from operations.models import Operation, Status
from projects.models import Project
from projects.permissions import acting, require_operating


class OperationSerializer(serializers.ModelSerializer[Operation]):
    requested_by = serializers.CharField(source="requested_by.username", default=None, read_only=True)

    class Meta:
        model = Operation
        fields = [
            "id",
            "verb",
            "subject",
            "status",
            "step",
            "attempts",
            "upid",
            "error",
            "warnings",
            "requested_by",
            "created_at",
            "started_at",
            "finished_at",
        ]
        read_only_fields = fields


class OperationFilters(serializers.Serializer[Any]):
    """Query parameters; those that are given have to hold together."""

    project = serializers.CharField(required=False, help_text="Only of this project.")
    subject = serializers.CharField(
        required=False, max_length=80, help_text="Only on this: machine:<id> or checkpoint:<id>."
    )
    status = serializers.ChoiceField(choices=Status.choices, required=False)
    verb = serializers.CharField(required=False, help_text="Only these: spawn, pause, rollback, …")


@extend_schema_view(
    get=extend_schema(parameters=[OperationFilters], tags=["operations"], operation_id="operations_list")
)
class Operations(ListAPIView[Operation]):
    """What is done, and was done, in projects that you may see, newest first."""

    serializer_class = OperationSerializer
    queryset = Operation.objects.none()

    def get_queryset(self) -> QuerySet[Operation]:
        asked = OperationFilters(data=self.request.query_params)
        asked.is_valid(raise_exception=True)
        wanted = {
            "project__slug" if key == "project" else key: one for key, one in asked.validated_data.items()
        }
        seen = Project.objects.permitted(self.request.user, "view_project")
        return Operation.objects.filter(project__in=seen, **wanted).select_related("requested_by")


class OperationDetail(APIView):
    """One operation: poll it until `finished_at` is set."""

    @extend_schema(responses=OperationSerializer, tags=["operations"], operation_id="operations_show")
    def get(self, request: Request, operation_id: UUID) -> Response:
        return Response(OperationSerializer(actions.find(operation_id, user=request.user)).data)


class OperationCancel(APIView):
    """Have an operation end that no worker has begun, or that waits for an operator."""

    @extend_schema(
        request=None,
        responses={202: OperationSerializer},
        tags=["operations"],
        operation_id="operations_cancel",
    )
    def post(self, request: Request, operation_id: UUID) -> Response:
        """It ends as soon as a worker comes to it. What Proxmox has been asked for already cannot be taken back."""
        operation = actions.find(operation_id, user=request.user)
        require_operating(request.user, operation)
        actions.cancel(operation, by=acting(request.user))
        return Response(OperationSerializer(operation).data, status=202)


class OperationGiveUp(APIView):
    """Have an operation end that waits for an operator."""

    @extend_schema(
        request=None,
        responses={202: OperationSerializer},
        tags=["operations"],
        operation_id="operations_give_up",
    )
    def post(self, request: Request, operation_id: UUID) -> Response:
        operation = actions.find(operation_id, user=request.user)
        require_operating(request.user, operation)
        actions.give_up(operation, by=acting(request.user))
        return Response(OperationSerializer(operation).data, status=202)
