"""The budgets' invariant over REST, for monitoring."""

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from budgets import watch


class TotalSerializer(serializers.Serializer[Any]):
    """Of all open budgets of one resource together, in its unit."""

    resource = serializers.CharField()
    limit = serializers.IntegerField()
    reserved = serializers.IntegerField()
    spent = serializers.IntegerField()
    overrun = serializers.IntegerField()


class InvariantSerializer(serializers.Serializer[Any]):
    violations = serializers.IntegerField(
        help_text="Periods of budgets with spent + reserved > limit. It is 0."
    )
    windows = serializers.IntegerField(help_text="Periods that were looked at.")
    totals = TotalSerializer(many=True)


class Invariant(APIView):
    """What must always hold, `spent + reserved <= limit`, checked this moment; for staff."""

    permission_classes = [IsAdminUser]

    @extend_schema(responses=InvariantSerializer, tags=["budgets"], operation_id="budgets_invariant")
    def get(self, request: Request) -> Response:
        return Response(InvariantSerializer(asdict(watch.invariant())).data)
