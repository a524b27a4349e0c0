"""Pools over REST, for staff: how much there is a day, who shares it, and how today's was dealt out."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from budgets import sharing
from budgets.api import checked
from budgets.models import Pool
from projects import actions as projects
from projects.permissions import ForStaff, acting


class ShareSerializer(serializers.Serializer[Any]):
    project = serializers.CharField()
    greediness = serializers.CharField()
    efficiency = serializers.CharField(help_text="How much more than usual its money achieves.")
    weight = serializers.FloatField(help_text="Their product.")
    of = serializers.FloatField(help_text="The sum of all weights.")
    share = serializers.IntegerField(help_text="Micro-units of the currency, today.")
    bound = serializers.CharField(
        help_text="used, least or most, where that and not its weight decided; else empty."
    )
    sentence = serializers.CharField()


class PoolSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    amount = serializers.IntegerField(help_text="Micro-units of the currency a day.")
    timezone = serializers.CharField()
    min_percent = serializers.IntegerField()
    max_percent = serializers.IntegerField()
    adjust = serializers.BooleanField()
    projects = serializers.ListField(child=serializers.CharField())
    shares = ShareSerializer(many=True, help_text="Of today; empty until it has been dealt out.")


class PoolsSerializer(serializers.Serializer[Any]):
    results = PoolSerializer(many=True)


class NewPoolSerializer(serializers.Serializer[Any]):
    """What is left out stays as it is."""

    amount = serializers.IntegerField(min_value=0, help_text="Micro-units of the currency a day.")
    timezone = serializers.CharField(required=False, max_length=60, help_text="Where its days begin.")
    min_percent = serializers.IntegerField(
        required=False, min_value=0, max_value=100, help_text="The least, for whoever wants any."
    )
    max_percent = serializers.IntegerField(required=False, min_value=1, max_value=100)
    adjust = serializers.BooleanField(
        required=False, help_text="Who achieves more with its money gets more, from half to twice."
    )


class Pools(APIView):
    """The pools."""

    permission_classes = (ForStaff,)

    @extend_schema(responses=PoolsSerializer, tags=["pools"], operation_id="pools_list")
    def get(self, request: Request) -> Response:
        return Response({"results": [_described(pool) for pool in Pool.objects.all()]})


class PoolDetail(APIView):
    """One pool."""

    permission_classes = (ForStaff,)

    @extend_schema(responses=PoolSerializer, tags=["pools"], operation_id="pools_show")
    def get(self, request: Request, name: str) -> Response:
        return Response(_described(sharing.find(name)))

    @extend_schema(
        request=NewPoolSerializer, responses=PoolSerializer, tags=["pools"], operation_id="pools_set"
    )
    def put(self, request: Request, name: str) -> Response:
        """Make it or change it; it is dealt out within seconds."""
        asked = checked(NewPoolSerializer, request.data)
        return Response(_described(sharing.put(name, asked.pop("amount"), by=acting(request.user), **asked)))

    @extend_schema(responses={204: None}, tags=["pools"], operation_id="pools_remove")
    def delete(self, request: Request, name: str) -> Response:
        """Remove it; its projects have no share any more."""
        sharing.dissolve(sharing.find(name), by=acting(request.user))
        return Response(status=204)


class PoolProject(APIView):
    """A project in a pool."""

    permission_classes = (ForStaff,)

    @extend_schema(request=None, responses=PoolSerializer, tags=["pools"], operation_id="pools_add_project")
    def put(self, request: Request, name: str, slug: str) -> Response:
        """Let it share in the pool."""
        pool = sharing.find(name)
        sharing.join(pool, projects.named(slug), by=acting(request.user))
        return Response(_described(pool))

    @extend_schema(responses={204: None}, tags=["pools"], operation_id="pools_remove_project")
    def delete(self, request: Request, name: str, slug: str) -> Response:
        """Take it out; its limit for the day goes with it."""
        sharing.leave(sharing.find(name), projects.named(slug), by=acting(request.user))
        return Response(status=204)


def _described(pool: Pool) -> dict[str, Any]:
    dealt, members = sharing.latest(pool), pool.members.filter(left_at=None).select_related("project")
    fields = ("name", "amount", "timezone", "min_percent", "max_percent", "adjust")
    shown = {
        **{field: getattr(pool, field) for field in fields},
        "projects": [member.project.slug for member in members],
        "shares": dealt.shares if dealt else [],
    }
    return dict(PoolSerializer(shown).data)
