"""Requests for more of a budget over REST: ask, for those who work with machines; grant or deny, for owners."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from budgets import requests
from budgets.api import COUNTED, checked
from budgets.models import BudgetRequest
from budgets.resources import Period, Resource
from machines import actions
from machines.models import Machine
from projects import actions as projects
from projects.errors import Invalid, NotThere
from projects.models import Project, User
from projects.permissions import acting, require
from projects.roles import Right


class BudgetRequestSerializer(serializers.ModelSerializer[BudgetRequest]):
    project = serializers.CharField(source="project.slug")
    currency = serializers.CharField(source="project.currency")
    scope = serializers.CharField(source="budget.scope", help_text="Whose limit is to be raised.")
    resource = serializers.CharField(source="budget.resource")
    period = serializers.CharField(source="budget.period")
    machine = serializers.SerializerMethodField(help_text="The machine that asks, or that it is asked for.")
    asked_by = serializers.CharField(
        source="asked_by.username", default=None, help_text="Null: the machine itself."
    )
    decided_by = serializers.CharField(source="decided_by.username", default=None)

    class Meta:
        model = BudgetRequest
        fields = [
            "id", "project", "currency", "scope", "resource", "period", "amount", "reason", "machine", "automatic",
            "state", "asked_by", "created_at", "granted", "answer", "decided_by", "decided_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_machine(self, request: BudgetRequest) -> str | None:
        number = getattr(request, "machine_number", None)
        return f"m{number}" if number else None


class AskSerializer(serializers.Serializer[Any]):
    """More for a machine, or for a whole project."""

    project = serializers.CharField(required=False)
    machine = serializers.CharField(
        required=False, help_text="By handle or id; its own limit is asked for where it has one."
    )
    resource = serializers.ChoiceField(choices=Resource.choices)
    amount = serializers.IntegerField(min_value=1, help_text=f"More than the limit is now. {COUNTED}")
    period = serializers.ChoiceField(choices=Period.choices, default=Period.TOTAL)
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


class AnswerSerializer(serializers.Serializer[Any]):
    answer = serializers.CharField(required=False, default="", allow_blank=True, max_length=300)


class GrantSerializer(AnswerSerializer):
    amount = serializers.IntegerField(
        required=False, allow_null=True, default=None, min_value=1, help_text="Another than was asked for."
    )
    shown = serializers.IntegerField(
        required=False,
        allow_null=True,
        help_text="What you saw being asked for: refused if it has changed since.",
    )


_described = partial(extend_schema, tags=["requests"], responses=BudgetRequestSerializer)


@extend_schema_view(
    get=extend_schema(
        parameters=[
            OpenApiParameter("project", str, description="Only of this project."),
            OpenApiParameter("state", str, enum=BudgetRequest.State.values),
        ],
        tags=["requests"],
        operation_id="budget_requests_list",
    )
)
class BudgetRequests(ListAPIView[BudgetRequest]):
    """Requests in projects that you may see, newest first."""

    serializer_class = BudgetRequestSerializer
    queryset = BudgetRequest.objects.none()

    def get_queryset(self) -> QuerySet[BudgetRequest]:
        found = _visible(acting(self.request.user))
        if slug := self.request.query_params.get("project"):
            found = found.filter(project=projects.find(slug, user=self.request.user))
        if state := self.request.query_params.get("state"):
            found = found.filter(state=state)
        return found

    @extend_schema(
        request=AskSerializer,
        responses={201: BudgetRequestSerializer},
        tags=["requests"],
        operation_id="budget_requests_ask",
    )
    def post(self, request: Request) -> Response:
        """Ask the owners to raise a limit. For a machine that has asked already, that request is changed."""
        asked = checked(AskSerializer, request.data)
        project, machine = _for_whom(asked.pop("project", ""), asked.pop("machine", ""), request)
        require(request.user, Right.SPAWN, project)
        made = requests.ask(
            project, by=acting(request.user), machine_id=machine.id if machine else None, **asked
        )
        return _shown(made.pk, request, status=201)


class BudgetRequestDetail(APIView):
    """One request."""

    @_described(operation_id="budget_requests_show")
    def get(self, request: Request, number: int) -> Response:
        return _shown(number, request)


class BudgetRequestGrant(APIView):
    """Grant a request."""

    @_described(request=GrantSerializer, operation_id="budget_requests_grant")
    def post(self, request: Request, number: int) -> Response:
        """Raise the limit by what was asked for, or by another amount. Machines that wait for it go on."""
        return _decided(requests.grant, request, number, checked(GrantSerializer, request.data))


class BudgetRequestDeny(APIView):
    """Deny a request."""

    @_described(request=AnswerSerializer, operation_id="budget_requests_deny")
    def post(self, request: Request, number: int) -> Response:
        """Say no; the limit stays as it is."""
        return _decided(requests.deny, request, number, checked(AnswerSerializer, request.data))


class BudgetRequestWithdraw(APIView):
    """Withdraw a request."""

    @_described(request=None, operation_id="budget_requests_withdraw")
    def post(self, request: Request, number: int) -> Response:
        """Take it back, for whoever asked, and for owners."""
        found = _find(request, number)
        if found.asked_by_id != acting(request.user).pk:
            require(request.user, "manage_budgets", found.project)
        requests.withdraw(found, by=acting(request.user))
        return _shown(number, request)


def _for_whom(slug: str, reference: str, request: Request) -> tuple[Project, Machine | None]:
    if reference:
        machine = actions.find(reference, user=request.user)
        return machine.project, machine
    if not slug:
        raise Invalid("Say for which project or machine.")
    return projects.find(slug, user=request.user), None


def _visible(user: User) -> QuerySet[BudgetRequest]:
    number = Machine.objects.filter(pk=OuterRef("machine_id")).values("number")
    found = BudgetRequest.objects.filter(project__in=Project.objects.permitted(user, "view_project"))
    found = found.select_related("project", "budget", "asked_by", "decided_by")
    return found.annotate(machine_number=Subquery(number))


def _find(request: Request, number: int) -> BudgetRequest:
    if found := _visible(acting(request.user)).filter(pk=number).first():
        return found
    raise NotThere(f"There is no request {number} that you may see.")


def _decided(decide: Callable[..., object], request: Request, number: int, asked: dict[str, Any]) -> Response:
    found = _find(request, number)
    require(request.user, "manage_budgets", found.project)
    decide(found, by=acting(request.user), **asked)
    return _shown(number, request)


def _shown(number: int, request: Request, *, status: int = 200) -> Response:
    return Response(BudgetRequestSerializer(_find(request, number)).data, status=status)
