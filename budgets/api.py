"""Limits over REST: a project's, its members', and the whole system's. Machines' are in `machines.api.machines`."""

from typing import Any

from django.core.exceptions import PermissionDenied
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from budgets import actions
from budgets.limits import Holder
from budgets.models import Budget
from budgets.prices import CURRENCY
from budgets.reports import of_holders
from budgets.resources import SYSTEM, Period, Resource
from projects import actions as projects
from projects.errors import NotThere
from projects.models import Project
from projects.permissions import acting, require

COUNTED = (
    "Micro-units of the currency (money), seconds (wall and CPU time), megabyte-seconds (memory, storage; a GB-hour "
    "is 3,600,000), bytes (network), tokens, or calls."
)


class BudgetSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    kind = serializers.CharField(help_text="system, hub, project, member or machine")
    scope = serializers.CharField(help_text="Whose limit it is.")
    machine_id = serializers.UUIDField(allow_null=True)
    member_id = serializers.IntegerField(allow_null=True)
    resource = serializers.ChoiceField(choices=Resource.choices)
    period = serializers.ChoiceField(choices=Period.choices)
    timezone = serializers.CharField(help_text="Where its days, weeks and months begin.")
    carry_over = serializers.BooleanField(help_text="What a period leaves is added to the next.")
    landing_percent = serializers.IntegerField(help_text="Kept back for wrapping up.")
    marks = serializers.ListField(child=serializers.IntegerField(), help_text="Per cent at which to warn.")
    limit = serializers.IntegerField(
        help_text=f"In this period, with what was carried over or transferred. {COUNTED}"
    )
    reserved = serializers.IntegerField(help_text="Held for what is under way.")
    spent = serializers.IntegerField()
    overrun = serializers.IntegerField(help_text="What a provider billed beyond its bound.")
    left = serializers.IntegerField(help_text="limit − spent − reserved, not below 0.")
    percent = serializers.IntegerField(help_text="Of the limit, consumed.")
    starts_at = serializers.DateTimeField(help_text="When the present period began.")
    ends_at = serializers.DateTimeField(
        allow_null=True, help_text="When the next begins; null for a limit for good."
    )
    exhausted_at = serializers.DateTimeField(
        allow_null=True, help_text="Since when no small call fits any more."
    )


class BudgetsSerializer(serializers.Serializer[Any]):
    currency = serializers.CharField()
    budgets = BudgetSerializer(many=True)


class WhichSerializer(serializers.Serializer[Any]):
    """Which limit of a holder."""

    resource = serializers.ChoiceField(choices=Resource.choices)
    period = serializers.ChoiceField(
        choices=Period.choices, default=Period.TOTAL, help_text="`total` is for good."
    )


class LimitSerializer(WhichSerializer):
    """A limit; what is left out stays as it is, or is the usual for a new one."""

    limit = serializers.IntegerField(min_value=0, help_text=COUNTED)
    timezone = serializers.CharField(required=False, max_length=60, help_text="Such as Europe/Berlin.")
    carry_over = serializers.BooleanField(required=False)
    landing_percent = serializers.IntegerField(required=False, min_value=0, max_value=50)
    marks = serializers.ListField(
        required=False, child=serializers.IntegerField(min_value=1, max_value=100), max_length=10
    )


class OfWhomSerializer(WhichSerializer):
    member = serializers.CharField(
        required=False, max_length=150, help_text="Of this member's machines alone, by user name."
    )


class ProjectLimitSerializer(LimitSerializer, OfWhomSerializer):
    pass


# For DELETE, which has no body.
WHICH = [
    OpenApiParameter("resource", str, required=True, enum=Resource.values),
    OpenApiParameter("period", str, enum=Period.values, description="`total` if it is not said."),
]
MEMBER = OpenApiParameter("member", str, description="The limit of this member, by user name.")


class ProjectBudgets(APIView):
    """A project's limits, and what is spent, held and left of each."""

    @extend_schema(responses=BudgetsSerializer, tags=["budgets"], operation_id="budgets_list")
    def get(self, request: Request, slug: str) -> Response:
        return _of(projects.find(slug, user=request.user))

    @extend_schema(
        request=ProjectLimitSerializer,
        responses=BudgetsSerializer,
        tags=["budgets"],
        operation_id="budgets_set",
    )
    def put(self, request: Request, slug: str) -> Response:
        """Set one limit of the whole project, or of one of its members."""
        project = managed(request, slug)
        asked = checked(ProjectLimitSerializer, request.data)
        set_limit(_holder(project, asked.pop("member", "")), asked, request)
        return _of(project)

    @extend_schema(
        parameters=[*WHICH, MEMBER],
        responses=BudgetsSerializer,
        tags=["budgets"],
        operation_id="budgets_remove",
    )
    def delete(self, request: Request, slug: str) -> Response:
        """Lift one limit; what is left is answered."""
        project = managed(request, slug)
        asked = checked(OfWhomSerializer, request.query_params)
        remove_limit(_holder(project, asked.pop("member", "")), asked, request)
        return _of(project)


class SharedBudgets(APIView):
    """The limits of everything together, or of all projects of one hub; for staff."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not acting(request.user).administers:
            raise PermissionDenied

    @extend_schema(responses=BudgetsSerializer, tags=["budgets"], operation_id="budgets_shared_list")
    def get(self, request: Request, holder: str) -> Response:
        found = [actions.balance(window) for window in of_holders([_shared(holder).key])]
        return Response(BudgetsSerializer({"currency": CURRENCY, "budgets": found}).data)

    @extend_schema(
        request=LimitSerializer,
        responses=BudgetsSerializer,
        tags=["budgets"],
        operation_id="budgets_shared_set",
    )
    def put(self, request: Request, holder: str) -> Response:
        """Set one limit of the whole system, or of a hub."""
        set_limit(_shared(holder), checked(LimitSerializer, request.data), request)
        return self.get(request, holder)

    @extend_schema(
        parameters=WHICH, responses=BudgetsSerializer, tags=["budgets"], operation_id="budgets_shared_remove"
    )
    def delete(self, request: Request, holder: str) -> Response:
        """Lift one limit of the whole system, or of a hub."""
        remove_limit(_shared(holder), checked(WhichSerializer, request.query_params), request)
        return self.get(request, holder)


def _shared(holder: str) -> Holder:
    return Holder.of_system() if holder == SYSTEM else Holder.of_hub(holder.removeprefix("hub:"))


def set_limit(holder: Holder, asked: dict[str, Any], request: Request) -> None:
    """Set what a `LimitSerializer` took. Rights were checked."""
    actions.change_limit(holder, **asked, by=acting(request.user))


def remove_limit(holder: Holder, asked: dict[str, Any], request: Request) -> None:
    """Lift what a `WhichSerializer` took. Rights were checked. Raises `NotThere`."""
    budget = Budget.objects.standing().filter(holder=holder.key, **asked).first()
    if budget is None:
        raise NotThere(f"{holder.scope} has no limit of {asked['resource']} per {asked['period']}.")
    actions.remove_limit(budget, by=acting(request.user))


def checked(kind: type[serializers.Serializer[Any]], sent: Any) -> dict[str, Any]:
    """What was sent, as the serializer takes it. Raises its `ValidationError`."""
    asked = kind(data=sent)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


def managed(request: Request, slug: str) -> Project:
    """The project, for somebody who may set its limits."""
    project = projects.find(slug, user=request.user)
    require(request.user, "manage_budgets", project)
    return project


def _holder(project: Project, member: str) -> Holder:
    return (
        Holder.of_member(project, projects.member(project, member)) if member else Holder.of_project(project)
    )


def _of(project: Project) -> Response:
    return Response(BudgetsSerializer(actions.summary(project)).data)
