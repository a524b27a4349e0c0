"""A project's ledger over REST: in pages, or whole as CSV."""

from typing import Any

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from budgets import journal
from budgets.api import checked
from budgets.models import LedgerEntry
from budgets.reports import AMOUNTS
from machines import actions
from machines.limits import spending
from projects import actions as projects
from projects.models import Project


class LedgerEntrySerializer(serializers.ModelSerializer[LedgerEntry]):
    machine = serializers.SerializerMethodField(help_text="Its handle.")
    member = serializers.SerializerMethodField(help_text="Their user name.")

    class Meta:
        model = LedgerEntry
        fields = [
            "id", "created_at", "kind", "machine", "member", "label", *AMOUNTS[:-1], "price_version", "actor",
            "key", "reservation_id", "windows", "amounts",
        ]  # fmt: skip
        read_only_fields = fields

    def get_machine(self, entry: LedgerEntry) -> str | None:
        return self.context["machines"].get(entry.machine_id)  # type: ignore[no-any-return]

    def get_member(self, entry: LedgerEntry) -> str | None:
        return self.context["members"].get(entry.member_id)  # type: ignore[no-any-return]


class LedgerSerializer(serializers.Serializer[Any]):
    results = LedgerEntrySerializer(many=True)
    next = serializers.CharField(allow_null=True)
    searched_to = serializers.DateTimeField(
        allow_null=True, help_text="Where the search stopped for now; `next` goes on."
    )


class AskedSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=LedgerEntry.Kind.choices, required=False)
    machine = serializers.CharField(required=False)
    model = serializers.CharField(required=False)
    day = serializers.DateField(required=False)
    before = serializers.IntegerField(required=False, min_value=0)
    page_size = serializers.IntegerField(default=50, min_value=1, max_value=200)


class Csv(BaseRenderer):
    """Lets a client ask for `text/csv`; the view streams it."""

    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, *_: Any, **__: Any) -> bytes:
        """Only what is refused comes here, as a problem's JSON."""
        return bytes(JSONRenderer().render(data))


class Ledger(APIView):
    """The project's ledger, newest first: what was used, and how limits changed. As CSV, the whole of it."""

    renderer_classes = (JSONRenderer, Csv)
    as_csv = False

    @extend_schema(
        parameters=[
            OpenApiParameter("kind", str, enum=LedgerEntry.Kind.values),
            OpenApiParameter("machine", str, description="Only what this machine used, by handle or id."),
            OpenApiParameter("model", str, description="Only calls of this model."),
            OpenApiParameter("day", str, description="Only of this day, UTC: 2031-05-06."),
            OpenApiParameter("before", int, description="Only older entries than this one; see `next`."),
            OpenApiParameter("page_size", int, description="50, at most 200."),
        ],
        responses={
            (200, "application/json"): LedgerSerializer,
            (200, "text/csv"): OpenApiResponse(str, description="Every entry that is asked for."),
        },
        tags=["resources"],
        operation_id="resources_ledger",
    )
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        project = projects.find(slug, user=request.user)
        asked = checked(AskedSerializer, request.query_params)
        wanted = self._filter(asked, request)
        if self.as_csv or getattr(request.accepted_renderer, "format", "") == "csv":
            return csv_of(project, wanted)
        page = journal.page(project, wanted, before=asked.get("before"), size=asked["page_size"])
        machines, members = journal.names(page.entries, spending.handles)
        entries = LedgerEntrySerializer(
            page.entries, many=True, context={"machines": machines, "members": members}
        )
        return Response(
            {"results": entries.data, "next": _next(request, page.before), "searched_to": page.searched_to}
        )

    def _filter(self, asked: dict[str, Any], request: Request) -> journal.Filter:
        machine = actions.find(asked["machine"], user=request.user) if asked.get("machine") else None
        return journal.Filter(
            kind=asked.get("kind", ""),
            label=asked.get("model", ""),
            machine_id=machine.id if machine else None,
            day=asked.get("day"),
        )


@extend_schema_view(
    get=extend_schema(operation_id="resources_ledger_csv", responses={(200, "text/csv"): str})
)
class LedgerCsv(Ledger):
    """The same, always as CSV: for programs that cannot say what they accept."""

    as_csv = True


def csv_of(project: Project, asked: journal.Filter) -> StreamingHttpResponse:
    """The entries as a file, written while they are read."""
    response = StreamingHttpResponse(
        journal.as_csv(project, asked, spending.handles), content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{project.slug}-ledger.csv"'
    return response


def _next(request: Request, before: int | None) -> str | None:
    if before is None:
        return None
    asked = request.query_params.copy()
    asked["before"] = str(before)
    return request.build_absolute_uri(f"{request.path}?{asked.urlencode()}")
