"""What was used and what is left, over REST: of everything you may see, and of one project."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from budgets import actions as budgets
from budgets import burn, reports
from budgets.api import BudgetSerializer, ProjectBudgets, checked
from budgets.forecast import Forecast
from budgets.models import Reservation, Window
from budgets.reports import Breakdown, Used
from budgets.resources import of_machine
from machines import actions as machines
from machines.limits import spending
from projects import actions as projects
from projects.models import Project
from projects.permissions import acting

DAYS_MAX = 366
MACHINES_SHOWN = 50


class UsedSerializer(serializers.Serializer[Any]):
    """Sums of ledger entries. The four kinds of tokens do not overlap."""

    micros = serializers.IntegerField()
    calls = serializers.IntegerField()
    input_tokens = serializers.IntegerField(help_text="Neither read from the cache nor written to it.")
    cached_tokens = serializers.IntegerField(help_text="Read from the cache.")
    cache_write_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    wall_seconds = serializers.IntegerField()
    cpu_seconds = serializers.IntegerField()
    memory_mb_seconds = serializers.IntegerField()
    storage_mb_seconds = serializers.IntegerField()
    network_bytes = serializers.IntegerField()
    assumed = serializers.IntegerField(help_text="Entries whose figures are an upper bound only.")


class PartSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="Empty for what none of them used.")
    used = UsedSerializer()


class HoldSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    what = serializers.CharField(help_text="What for: the model, or compute.")
    machine = serializers.CharField(allow_null=True)
    held = serializers.DictField(
        child=serializers.IntegerField(), help_text="The most it can use, by resource."
    )
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(help_text="When it is charged in full if nobody comes back.")


class BandSerializer(serializers.Serializer[Any]):
    low = serializers.IntegerField()
    middle = serializers.IntegerField()
    high = serializers.IntegerField()


class ForecastSerializer(serializers.Serializer[Any]):
    """Eight of ten times the truth is between low and high."""

    until = serializers.DateTimeField(help_text="How far it looks: the period's end, if it has one.")
    consumed = BandSerializer(help_text="What will have been used by then, if no limit stops it.")
    runs_out = serializers.ListField(
        child=serializers.DateTimeField(allow_null=True),
        help_text="When one, five and nine of ten simulated futures have reached the limit; null for later.",
    )
    risk = serializers.FloatField(help_text="The part of them that reaches it.")


class BudgetWithForecastSerializer(BudgetSerializer):
    forecast = ForecastSerializer(allow_null=True, help_text="Null where there is not enough history.")


class ProjectOverviewSerializer(serializers.Serializer[Any]):
    project = serializers.CharField()
    currency = serializers.CharField()
    today = UsedSerializer(help_text="Since midnight UTC.")
    used = UsedSerializer(help_text="In the last 30 days.")
    budgets = BudgetSerializer(many=True, help_text="The project's own and its members', not its machines'.")


class OverviewSerializer(serializers.Serializer[Any]):
    system = BudgetSerializer(
        many=True, help_text="Of everything together, and of hubs. For staff; else empty."
    )
    projects = ProjectOverviewSerializer(many=True)


class ProjectResourcesSerializer(serializers.Serializer[Any]):
    project = serializers.CharField()
    currency = serializers.CharField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    used = UsedSerializer(
        help_text="Every list below adds up to this; of machines, the dearest 50 are listed."
    )
    models = PartSerializer(many=True)
    types = PartSerializer(many=True)
    machines = PartSerializer(many=True)
    members = PartSerializer(many=True)
    days = PartSerializer(many=True)
    budgets = BudgetWithForecastSerializer(many=True)
    holds = HoldSerializer(many=True)


class MachineResourcesSerializer(serializers.Serializer[Any]):
    machine = serializers.CharField()
    currency = serializers.CharField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    used = UsedSerializer(help_text="Both lists below add up to this.")
    models = PartSerializer(many=True)
    days = PartSerializer(many=True)
    budgets = BudgetWithForecastSerializer(many=True, help_text="The machine's own.")
    holds = HoldSerializer(many=True)


class SpanSerializer(serializers.Serializer[Any]):
    days = serializers.IntegerField(default=30, min_value=1, max_value=DAYS_MAX)


class Overview(APIView):
    """What you may see of resources, at a glance."""

    @extend_schema(responses=OverviewSerializer, tags=["resources"], operation_id="resources_overview")
    def get(self, request: Request) -> Response:
        visible = {one.id: one for one in Project.objects.permitted(request.user, "view_project")}
        now = timezone.now()
        today = reports.breakdown(visible, since=reports.midnight(), until=now)
        month = reports.breakdown(visible, since=now - timedelta(days=30), until=now)
        standing: dict[UUID | None, list[Window]] = {}
        for window in reports.standing(visible):
            standing.setdefault(window.budget.project_id, []).append(window)
        system = reports.above_projects() if acting(request.user).administers else []
        answer = {
            "system": [budgets.balance(window) for window in system],
            "projects": [
                {
                    "project": one.slug,
                    "currency": one.currency,
                    "today": today.projects.get(key, Used()),
                    "used": month.projects.get(key, Used()),
                    "budgets": [budgets.balance(window) for window in standing.get(key, [])],
                }
                for key, one in visible.items()
            ],
        }
        return Response(OverviewSerializer(answer).data)


DAYS = OpenApiParameter("days", int, description=f"So many, 30 if not said, at most {DAYS_MAX}.")


class ProjectResources(APIView):
    """What a project used in the last days, cut every way; its limits with forecasts; and what is held now."""

    @extend_schema(
        parameters=[DAYS],
        responses=ProjectResourcesSerializer,
        tags=["resources"],
        operation_id="resources_project",
    )
    def get(self, request: Request, slug: str) -> Response:
        project = projects.find(slug, user=request.user)
        since, until = _span(request)
        found = reports.breakdown([project.id], since=since, until=until)
        held = list(reports.holds([project.id]))
        handles = spending.handles({key for key in found.machines if key} | _machines(held))
        people = dict(projects.members(project).values_list("pk", "username"))
        answer = {
            "project": project.slug,
            "currency": project.currency,
            "since": since,
            "until": until,
            **_cuts(found),
            "types": _parts(spending.by_type(found)),
            "machines": _parts(spending.named(found.machines, handles))[:MACHINES_SHOWN],
            "members": _parts(spending.named(found.members, people)),
            "budgets": _with_forecasts(reports.standing([project.id])),
            "holds": [_hold(one, handles) for one in held],
        }
        return Response(ProjectResourcesSerializer(answer).data)


class MachineResources(APIView):
    """What a machine used in the last days, by model and by day; its own limits with forecasts; and what it holds."""

    @extend_schema(
        parameters=[DAYS],
        responses=MachineResourcesSerializer,
        tags=["resources"],
        operation_id="resources_machine",
    )
    def get(self, request: Request, reference: str) -> Response:
        machine = machines.find(reference, user=request.user)
        project, (since, until) = machine.project, _span(request)
        found = reports.breakdown([project.id], since=since, until=until, machine_id=machine.id)
        held = reports.holds([project.id]).filter(machine_id=machine.id)
        answer = {
            "machine": machine.handle,
            "currency": project.currency,
            "since": since,
            "until": until,
            **_cuts(found),
            "budgets": _with_forecasts(reports.of_holders([of_machine(machine.id)])),
            "holds": [_hold(one, {machine.id: machine.handle}) for one in held],
        }
        return Response(MachineResourcesSerializer(answer).data)


@extend_schema_view(
    get=extend_schema(operation_id="resources_budget_list", tags=["resources"]),
    put=extend_schema(operation_id="resources_budget_set", tags=["resources"]),
    delete=extend_schema(operation_id="resources_budget_remove", tags=["resources"]),
)
class ProjectBudget(ProjectBudgets):
    """The same limits as under `projects/{slug}/budgets/`, beside what was used."""


def _span(request: Request) -> tuple[datetime, datetime]:
    """The last days that were asked for, up to now."""
    now = timezone.now()
    return now - timedelta(days=checked(SpanSerializer, request.query_params)["days"]), now


def _cuts(found: Breakdown) -> dict[str, Any]:
    return {"used": found.total, "models": _parts(found.labels), "days": _days(found.days)}


def _machines(held: list[Reservation]) -> set[UUID]:
    return {one.machine_id for one in held if one.machine_id}


def _parts(cut: dict[str, Used]) -> list[dict[str, Any]]:
    """The dearest first."""
    dearest = sorted(cut.items(), key=lambda part: (-part[1].micros, -part[1].wall_seconds, part[0]))
    return [{"name": name, "used": used} for name, used in dearest]


def _days(cut: dict[date, Used]) -> list[dict[str, Any]]:
    return [{"name": f"{day}", "used": used} for day, used in sorted(cut.items())]


def _hold(one: Reservation, handles: dict[UUID, str]) -> dict[str, Any]:
    return {
        "key": one.key,
        "what": one.label,
        "machine": handles.get(one.machine_id) if one.machine_id else None,
        "held": one.held,
        "created_at": one.created_at,
        "expires_at": one.expires_at,
    }


def _with_forecasts(windows: list[Window]) -> list[dict[str, Any]]:
    """Rates are not forecast: what does not fit into a minute waits for the next."""
    burns = burn.of_all([window for window in windows if not window.is_rate], timezone.now())
    ahead = {key: found.forecast for key, found in burns.items() if isinstance(found.forecast, Forecast)}
    return [{**budgets.balance(window), "forecast": ahead.get(window.pk)} for window in windows]
