"""The circuit breaker of a project, over REST."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from budgets import breaker
from budgets.api import checked, managed
from budgets.models.breaker import State
from projects import actions as projects
from projects.models import Project
from projects.permissions import acting


class BreakerSerializer(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=State.choices)
    enabled = serializers.BooleanField()
    factor = serializers.FloatField(help_text="How many times its normal rate is too much.")
    since = serializers.DateTimeField(help_text="Of this state.")
    until = serializers.DateTimeField(
        allow_null=True, help_text="Open: the end of the cool-down. Half open: of the probation."
    )
    probe = serializers.UUIDField(allow_null=True, help_text="Half open: the machine that may run.")
    sentence = serializers.CharField(help_text="Why it opened.")
    rate = serializers.IntegerField(
        help_text="Of the last five minutes, in micro-units of the currency a minute."
    )
    normal = serializers.IntegerField(allow_null=True, help_text="Null: there is too little history.")
    most = serializers.IntegerField(allow_null=True, help_text="What opens it; null: nothing does.")


class BreakerSettingsSerializer(serializers.Serializer[Any]):
    """What is left out stays as it is."""

    factor = serializers.FloatField(required=False)
    enabled = serializers.BooleanField(required=False)


class ProjectBreaker(APIView):
    """Whether a project's circuit breaker is open, and how fast the project spends."""

    @extend_schema(responses=BreakerSerializer, tags=["budgets"], operation_id="breaker_show")
    def get(self, request: Request, slug: str) -> Response:
        return _shown(projects.find(slug, user=request.user))

    @extend_schema(
        request=BreakerSettingsSerializer,
        responses=BreakerSerializer,
        tags=["budgets"],
        operation_id="breaker_set",
    )
    def put(self, request: Request, slug: str) -> Response:
        """Set its factor, or switch it on or off."""
        project = managed(request, slug)
        breaker.configure(
            project, by=acting(request.user), **checked(BreakerSettingsSerializer, request.data)
        )
        return _shown(project)


class ProjectBreakerClose(APIView):
    @extend_schema(request=None, responses=BreakerSerializer, tags=["budgets"], operation_id="breaker_close")
    def post(self, request: Request, slug: str) -> Response:
        """Close it at once: the project's machines go on."""
        project = managed(request, slug)
        breaker.close(project, by=acting(request.user))
        return _shown(project)


def _shown(project: Project) -> Response:
    found = breaker.find(project)
    verdict = breaker.judge(found)
    own = {
        name: getattr(found, name)
        for name in ("state", "enabled", "factor", "since", "until", "probe", "sentence")
    }
    figures = {
        "rate": verdict.rate,
        "normal": verdict.normal,
        "most": verdict.most if found.enabled else None,
    }
    return Response(BreakerSerializer(own | figures).data)
