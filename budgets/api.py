"""Budgets over REST."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from budgets import actions
from budgets.resources import Period, Resource
from projects import actions as projects
from projects.permissions import acting, require


class BudgetSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    kind = serializers.CharField(help_text="system, hub, project, member or machine")
    scope = serializers.CharField(help_text="Whose limit it is.")
    machine_id = serializers.UUIDField(allow_null=True)
    member_id = serializers.IntegerField(allow_null=True)
    resource = serializers.ChoiceField(choices=Resource.choices)
    period = serializers.ChoiceField(choices=Period.choices)
    timezone = serializers.CharField()
    carry_over = serializers.BooleanField()
    landing_percent = serializers.IntegerField(help_text="Kept back for wrapping up.")
    marks = serializers.ListField(child=serializers.IntegerField(), help_text="Per cent at which to warn.")
    limit = serializers.IntegerField(help_text="Micro-units of the currency, tokens, or calls.")
    reserved = serializers.IntegerField(help_text="Held for calls under way.")
    spent = serializers.IntegerField()
    overrun = serializers.IntegerField(help_text="What a provider billed beyond its bound.")
    left = serializers.IntegerField(help_text="limit − spent − reserved, not below 0.")
    percent = serializers.IntegerField(help_text="Of the limit, consumed.")
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField(allow_null=True)
    exhausted_at = serializers.DateTimeField(allow_null=True)


class BudgetsSerializer(serializers.Serializer[Any]):
    currency = serializers.CharField()
    budgets = BudgetSerializer(many=True)


class LimitSerializer(serializers.Serializer[Any]):
    resource = serializers.ChoiceField(choices=Resource.choices)
    limit = serializers.IntegerField(min_value=0, help_text="Micro-units of the currency, tokens, or calls.")


class ProjectBudgets(APIView):
    """A project's limits, and what is spent, held and left of each."""

    @extend_schema(responses=BudgetsSerializer, tags=["budgets"], operation_id="budgets_list")
    def get(self, request: Request, slug: str) -> Response:
        project = projects.find(slug, user=request.user)
        return Response(BudgetsSerializer(actions.summary(project)).data)

    @extend_schema(
        request=LimitSerializer, responses=BudgetsSerializer, tags=["budgets"], operation_id="budgets_set"
    )
    def put(self, request: Request, slug: str) -> Response:
        """Set one limit of the whole project."""
        project = projects.find(slug, user=request.user)
        require(request.user, "manage_budgets", project)
        asked = LimitSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        actions.set_limit(project, **asked.validated_data, by=acting(request.user))
        return Response(BudgetsSerializer(actions.summary(project)).data)
