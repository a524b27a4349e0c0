"""Operations over REST: what is under way, how far it is, and how it ended."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from operations import actions
from operations.models import Operation
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


class OperationDetail(APIView):
    """One operation: poll it until `finished_at` is set."""

    @extend_schema(responses=OperationSerializer, tags=["operations"], operation_id="operations_show")
    def get(self, request: Request, operation_id: UUID) -> Response:
        return Response(OperationSerializer(actions.find(operation_id, user=request.user)).data)


class OperationGiveUp(APIView):
    """Have an operation end that waits for an operator."""

    @extend_schema(
        request=None, responses=OperationSerializer, tags=["operations"], operation_id="operations_give_up"
    )
    def post(self, request: Request, operation_id: UUID) -> Response:
        operation = actions.find(operation_id, user=request.user)
        require_operating(request.user, operation)
        actions.give_up(operation, by=acting(request.user))
        return Response(OperationSerializer(operation).data, status=202)
