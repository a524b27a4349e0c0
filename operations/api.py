"""Operations over REST: what is under way, how far it is, and how it ended."""

from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from operations.models import Operation
from projects.models import Project


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
        visible = Operation.objects.filter(
            project__in=Project.objects.permitted(request.user, "view_project")
        )
        operation = get_object_or_404(visible.select_related("requested_by"), pk=operation_id)
        return Response(OperationSerializer(operation).data)
