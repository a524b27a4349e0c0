"""What machines used, minute by minute, over REST."""

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from guests.models import Usage
from machines import actions
from projects.errors import Invalid

SPAN_SHOWN = timedelta(hours=1)
SPAN_MAX = timedelta(days=7)


class UsageSerializer(serializers.ModelSerializer[Usage]):
    class Meta:
        model = Usage
        fields = ["at", "cpu_seconds", "memory_bytes", *Usage.NAMES]
        read_only_fields = fields


class UsagesSerializer(serializers.Serializer[Any]):
    results = UsageSerializer(many=True)


class SpanSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField(required=False, default=None)
    until = serializers.DateTimeField(required=False, default=None)


class MachineUsage(APIView):
    """What it used in each minute, oldest first. Minutes in which it was off, or not measured, are left out."""

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "since", datetime, description="From this time; an hour before `until` by default."
            ),
            OpenApiParameter("until", datetime, description="Up to this time; now by default."),
        ],
        responses=UsagesSerializer,
        tags=["machines"],
        operation_id="machines_usage",
    )
    def get(self, request: Request, reference: str) -> Response:
        machine = actions.find(reference, user=request.user)
        asked = SpanSerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        until = asked.validated_data["until"] or timezone.now()
        since = asked.validated_data["since"] or until - SPAN_SHOWN
        if until - since > SPAN_MAX:
            raise Invalid(f"That is more than {SPAN_MAX.days} days; ask for it in parts.")
        found = Usage.objects.filter(guest=machine.guest_id, at__gte=since, at__lt=until)
        return Response({"results": UsageSerializer(found, many=True).data})
