"""When checkpoints are taken, over REST: a project's departures from its machine types, and what holds by them."""

from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from budgets.api import checked
from checkpoints.keeping import pruning
from checkpoints.models import Rules
from machines.api.serializers import PolicyField
from machines.keeping import policies
from projects import actions as projects
from projects.models import Project
from projects.permissions import acting, require


class EffectiveSerializer(serializers.Serializer[Any]):
    type = serializers.CharField()
    summary = serializers.CharField(help_text="In words.")
    policy = serializers.DictField(help_text="Every key of it.")


class RulesSerializer(serializers.Serializer[Any]):
    project = serializers.CharField()
    policy = serializers.DictField(help_text="What the project says itself.")
    retention = serializers.DictField(help_text="What the project says itself; see retention/.")
    effective = EffectiveSerializer(many=True, help_text="What holds for its machines, by type.")


class SetRulesSerializer(serializers.Serializer[Any]):
    policy = PolicyField(
        required=False,
        help_text="calls, minutes, percent, before, after_files, timing, skip, durable, ram. What is left out is as "
        "the machine type has it.",
    )
    retention = serializers.DictField(required=False, help_text="As retention/ takes it.")


class ProjectCheckpointRules(APIView):
    """When checkpoints of a project's machines are taken, and how long they are kept."""

    @extend_schema(
        responses=RulesSerializer, tags=["checkpoints"], operation_id="projects_checkpoint_rules_show"
    )
    def get(self, request: Request, slug: str) -> Response:
        return _answer(projects.find(slug, user=request.user))

    @extend_schema(
        request=SetRulesSerializer,
        responses=RulesSerializer,
        tags=["checkpoints"],
        operation_id="projects_checkpoint_rules_set",
    )
    def put(self, request: Request, slug: str) -> Response:
        """Set what departs, all of it: `{}` leaves the policy to the machine types."""
        project = projects.find(slug, user=request.user)
        require(request.user, "manage_project", project)
        asked = checked(SetRulesSerializer, request.data)
        with transaction.atomic():
            if "policy" in asked:
                policies.set_departures(project, asked["policy"], by=acting(request.user))
            if "retention" in asked:
                pruning.set_rules(project, asked["retention"], by=acting(request.user))
        return _answer(project)


def _answer(project: Project) -> Response:
    own = Rules.objects.filter(project=project).first() or Rules(project=project)
    effective = [
        {"type": name, "summary": found.summary, "policy": found.values}
        for name, found in policies.of_project(own.policy).items()
    ]
    answer = {
        "project": project.slug,
        "policy": own.policy,
        "retention": own.retention,
        "effective": effective,
    }
    return Response(RulesSerializer(answer).data)
