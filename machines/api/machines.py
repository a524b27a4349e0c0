"""Machines over REST: the same actions as the pages and the command line."""

from typing import Any

from django.db.models import Count, QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from budgets import actions as budgets
from budgets import api as budgets_api
from budgets.api import BudgetsSerializer, LimitSerializer
from budgets.reports import of_holders
from checkpoints import actions as checkpoints
from checkpoints.api.effects import not_undone
from checkpoints.models import Checkpoint
from machines import actions, modifications, printed, room, types
from machines.api.filters import MachineFilters, asked_for
from machines.api.serializers import (
    BranchedSerializer,
    BranchSerializer,
    CountsSerializer,
    LogLineSerializer,
    LogSerializer,
    MachineDetailSerializer,
    MachineSerializer,
    MachineTypeSerializer,
    MachineTypesSerializer,
    RollbackBegunSerializer,
    RollbackPreviewSerializer,
    RollbackSerializer,
    SpawnSerializer,
    TerminateSerializer,
)
from machines.limits.payer import holder_of
from machines.models import LogLine, Machine
from machines.states import State
from operations.api import OperationSerializer
from projects import actions as projects
from projects.errors import Invalid
from projects.models import Project
from projects.permissions import acting, require, require_operating
from projects.roles import Right

LOG_LINES_MAX = 2000


@extend_schema_view(
    get=extend_schema(parameters=[MachineFilters], tags=["machines"], operation_id="machines_list")
)
class Machines(ListAPIView[Machine]):
    """Machines that you may see, newest first."""

    serializer_class = MachineSerializer
    queryset = Machine.objects.none()
    newest_first = "-number"  # which an index has in order

    def get_queryset(self) -> QuerySet[Machine]:
        related = ("project", "guest", "source", "present", "replays", "created_by")
        return asked_for(self.request).with_spending().select_related(*related)

    @extend_schema(
        request=SpawnSerializer,
        responses={202: MachineDetailSerializer},
        tags=["machines"],
        operation_id="machines_spawn",
    )
    def post(self, request: Request) -> Response:
        """Spawn a machine from a checkpoint with a prompt and file modifications."""
        asked = _checked(SpawnSerializer, request)
        project = projects.find(asked["project"], user=request.user)
        source = (
            checkpoints.find(asked["checkpoint"], user=request.user)
            if "checkpoint" in asked
            else checkpoints.genesis_of(project)
        )
        machine = _spawn(request, project, source, asked)
        return Response(MachineDetailSerializer(machine).data, status=202)


class MachineCounts(APIView):
    """How many machines there are that you may see, in each state, with the filters of the list; and room for more."""

    @extend_schema(
        parameters=[MachineFilters],
        responses=CountsSerializer,
        tags=["machines"],
        operation_id="machines_counts",
    )
    def get(self, request: Request) -> Response:
        counted = asked_for(request).order_by().values_list("state").annotate(Count("pk"))
        states = dict.fromkeys(State.values, 0) | dict(counted)
        found = room.look()
        counts = {"total": sum(states.values()), "states": states}
        return Response(CountsSerializer({**counts, "room": found.here, "nodes": found.rooms.values()}).data)


class Branch(APIView):
    """A new machine whose files and conversation are exactly those of the checkpoint."""

    @extend_schema(
        request=BranchSerializer,
        responses={202: BranchedSerializer},
        tags=["checkpoints"],
        operation_id="checkpoints_branch",
    )
    def post(self, request: Request, reference: str) -> Response:
        source = checkpoints.find(reference, user=request.user)
        machine = _spawn(request, source.project, source, _checked(BranchSerializer, request))
        return Response(BranchedSerializer(machine).data, status=202)


class MachineDetail(APIView):
    """One machine, by handle or id."""

    @extend_schema(responses=MachineDetailSerializer, tags=["machines"], operation_id="machines_show")
    def get(self, request: Request, reference: str) -> Response:
        return Response(MachineDetailSerializer(actions.find(reference, user=request.user)).data)


class MachineLog(APIView):
    """What its agents printed; follow it by asking again with the last `id` as `after`."""

    @extend_schema(
        parameters=[
            OpenApiParameter("after", int, description="Only lines after this id."),
            OpenApiParameter("until", int, description="Only lines up to this id."),
            OpenApiParameter("limit", int, description=f"At most this many, up to {LOG_LINES_MAX}."),
            OpenApiParameter("tail", bool, description="The last lines instead of the first."),
            OpenApiParameter(
                "q",
                str,
                description="Only lines that say these words, in this order and in any case; the last may go on.",
                examples=[OpenApiExample("words", "exit code")],
            ),
        ],
        responses=LogSerializer,
        tags=["machines"],
        operation_id="machines_log",
    )
    def get(self, request: Request, reference: str) -> Response:
        machine = actions.find(reference, user=request.user)
        limit = min(_number(request, "limit", 500), LOG_LINES_MAX)
        lines = LogLine.objects.filter(machine=machine, pk__gt=_number(request, "after", 0))
        if "until" in request.query_params:
            lines = lines.filter(pk__lte=_number(request, "until", 0))
        if words := request.query_params.get("q", ""):
            lines = printed.within(lines, words)
        if request.query_params.get("tail"):
            found = sorted(lines.order_by("-id")[:limit], key=lambda line: line.pk)
        else:
            found = list(lines[:limit])
        return Response({"state": machine.state, "lines": LogLineSerializer(found, many=True).data})


class MachineRollback(APIView):
    """Put it back to one of its own checkpoints; the present is kept in a checkpoint first."""

    @extend_schema(
        parameters=[OpenApiParameter("checkpoint", str, required=True, description="Handle or id.")],
        responses=RollbackPreviewSerializer,
        tags=["machines"],
        operation_id="machines_rollback_preview",
    )
    def get(self, request: Request, reference: str) -> Response:
        """Whether it could be put back there now, and what it would lose if that one cannot be restored."""
        machine = actions.find(reference, user=request.user)
        target = checkpoints.find(request.query_params.get("checkpoint", ""), user=request.user)
        preview = actions.rollback_preview(machine, target)
        return Response(
            RollbackPreviewSerializer({**preview._asdict(), "not_undone": not_undone(target)}).data
        )

    @extend_schema(
        request=RollbackSerializer,
        responses={202: RollbackBegunSerializer},
        tags=["machines"],
        operation_id="machines_rollback",
    )
    def post(self, request: Request, reference: str) -> Response:
        machine = _operable(request, reference)
        asked = _checked(RollbackSerializer, request)
        target = checkpoints.find(asked["checkpoint"], user=request.user)
        left = not_undone(target)
        operation = actions.rollback(machine, target, by=acting(request.user))
        begun = RollbackBegunSerializer(operation, context={"not_undone": left})
        return Response(begun.data, status=202)


class MachineVerb(APIView):
    """Pause or resume it."""

    verb = ""

    @extend_schema(request=None, responses={202: OperationSerializer}, tags=["machines"])
    def post(self, request: Request, reference: str) -> Response:
        machine = _operable(request, reference)
        operation = {"pause": actions.pause, "resume": actions.resume}[self.verb](
            machine, by=acting(request.user)
        )
        return Response(OperationSerializer(operation).data, status=202)


class MachineTermination(APIView):
    """Terminate it: a final checkpoint, then its guest is switched off."""

    @extend_schema(
        request=TerminateSerializer,
        responses={202: OperationSerializer},
        tags=["machines"],
        operation_id="machines_terminate",
    )
    def post(self, request: Request, reference: str) -> Response:
        """At once; with `grace_seconds` it runs on for so long, and cancelling the operation undoes it."""
        machine, by = _operable(request, reference), acting(request.user)
        grace = _checked(TerminateSerializer, request)["grace_seconds"]
        if grace:
            operation = actions.terminate_soon(machine, by=by, grace_seconds=grace)
        else:
            operation = actions.terminate(machine, by=by)
        return Response(OperationSerializer(operation).data, status=202)


class MachineBudgets(APIView):
    """The limits of this machine alone; its project's, its member's and the system's hold as well."""

    @extend_schema(responses=BudgetsSerializer, tags=["budgets"], operation_id="machines_budgets_list")
    def get(self, request: Request, reference: str) -> Response:
        return self._answer(actions.find(reference, user=request.user))

    @extend_schema(
        request=LimitSerializer,
        responses=BudgetsSerializer,
        tags=["budgets"],
        operation_id="machines_budgets_set",
    )
    def put(self, request: Request, reference: str) -> Response:
        """Set one limit of this machine."""
        machine = self._managed(request, reference)
        budgets_api.set_limit(holder_of(machine), _checked(LimitSerializer, request), request)
        return self._answer(machine)

    @extend_schema(
        parameters=budgets_api.WHICH,
        responses=BudgetsSerializer,
        tags=["budgets"],
        operation_id="machines_budgets_remove",
    )
    def delete(self, request: Request, reference: str) -> Response:
        """Lift one limit of this machine."""
        machine = self._managed(request, reference)
        asked = budgets_api.checked(budgets_api.WhichSerializer, request.query_params)
        budgets_api.remove_limit(holder_of(machine), asked, request)
        return self._answer(machine)

    def _managed(self, request: Request, reference: str) -> Machine:
        machine = actions.find(reference, user=request.user)
        require(request.user, "manage_budgets", machine.project)
        return machine

    def _answer(self, machine: Machine) -> Response:
        found = [budgets.balance(window) for window in of_holders([holder_of(machine).key])]
        answer = {"currency": machine.project.currency, "budgets": found}
        return Response(BudgetsSerializer(answer).data)


class MachineTypes(APIView):
    """The types of agent that a machine can run."""

    @extend_schema(
        responses=MachineTypesSerializer, tags=["machine-types"], operation_id="machine_types_list"
    )
    def get(self, request: Request) -> Response:
        return Response({"results": MachineTypeSerializer(types.all(), many=True).data})


def _spawn(request: Request, project: Project, source: Checkpoint, asked: dict[str, Any]) -> Machine:
    require(request.user, Right.SPAWN, project)
    machine = actions.spawn(
        project=project,
        source=source,
        type_name=asked.get("type") or _type_of(source),
        prompt=asked["prompt"],
        by=acting(request.user),
        modifications=modifications.parse(asked["files"]),
        limits=asked["limits"],
        model=asked["model"],
        wall_seconds=asked["wall_seconds"],
        network=asked["network"],
        departures=asked.get("checkpoints"),
    )
    return actions.find(machine.handle, user=request.user)


def _type_of(source: Checkpoint) -> str:
    """A branch runs the type of agent that its parent ran."""
    if parent := actions.machine_of(source):
        return parent.type
    raise Invalid("Say which type of machine: “type”. See /api/v1/machine-types/.")


def _operable(request: Request, reference: str) -> Machine:
    machine = actions.find(reference, user=request.user)
    require_operating(request.user, machine)
    return machine


def _checked(kind: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    asked = kind(data=request.data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


def _number(request: Request, name: str, default: int) -> int:
    try:
        return max(int(request.query_params.get(name, default)), 0)
    except ValueError:
        raise Invalid(f"{name} must be a number.") from None
