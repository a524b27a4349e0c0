"""Events over REST: in pages, as a live stream, and exported as JSON lines with the digests that prove them."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from channels.db import database_sync_to_async
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
    inline_serializer,
)
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from audit import grammar, search, stream
from audit.grammar import FIELDS, Term
from audit.search import Sight
from events import actions as events
from events.chain import export
from events.chain.checks import SUBJECT
from events.models import Event
from projects.errors import Invalid, NotThere

PARAMETERS = [
    *(
        OpenApiParameter(name, str, description=f"Only what happened {words}.")
        for name, words in FIELDS.items()
    ),
    OpenApiParameter(
        "q",
        str,
        description="Words that were said, and any of the other fields as `field:value`; `-field:value` leaves out "
        'what has it. `q=kind:machine.* -actor:system "out of memory"`',
    ),
]


class EventSerializer(serializers.ModelSerializer[Event]):
    """An event. From where it was asked for is told to those who may read the audit."""

    project = serializers.SerializerMethodField(
        help_text="Its short name; null for what concerns no project."
    )
    token = serializers.SerializerMethodField(
        help_text="Name and beginning of the API token; null: not to be told."
    )
    address = serializers.SerializerMethodField(help_text="Of whoever asked; null: not to be told.")
    request_id = serializers.SerializerMethodField(
        help_text="Of the request that led to it; null: not to be told."
    )

    class Meta:
        model = Event
        fields = [
            "id", "at", "kind", "subject", "project", "actor", "actor_kind", "interface",
            "token", "address", "request_id", "data",
        ]  # fmt: skip
        read_only_fields = fields

    @property
    def _sight(self) -> Sight:
        sight: Sight = self.context["sight"]
        return sight

    def get_project(self, event: Event) -> str | None:
        return self._sight.projects.get(event.project_id) if event.project_id else None

    def get_token(self, event: Event) -> str | None:
        return event.token if self._sight.knows_source(event) else None

    def get_address(self, event: Event) -> str | None:
        return event.address if self._sight.knows_source(event) else None

    def get_request_id(self, event: Event) -> str | None:
        return event.request_id if self._sight.knows_source(event) else None


class EventStream(BaseRenderer):
    """Lets a client ask for `text/event-stream`; the view streams it."""

    media_type = "text/event-stream"
    format = "events"

    def render(self, data: Any, *_: Any, **__: Any) -> bytes:
        """Only what is refused comes here, as a problem's JSON."""
        return bytes(JSONRenderer().render(data))


class JsonLines(EventStream):
    """The same for `application/jsonl`."""

    media_type = "application/jsonl"
    format = "jsonl"


class Wanted(NamedTuple):
    """What is asked for, and what is left of it for whoever asks."""

    sight: Sight
    terms: list[Term]
    events: QuerySet[Event]


def wanted(request: Request) -> Wanted:
    """What the parameters ask for. Raises `Invalid`, and `NotThere`."""
    given = request.query_params
    asked = grammar.parse(given.get("q", ""))
    terms = [*asked.terms, *(Term(name, given[name]) for name in FIELDS if name in given)]
    problems = [*asked.problems, *filter(None, map(grammar.wrong, terms))]
    if problems:
        raise Invalid(" ".join(problems))
    sight = Sight.of(request.user)
    found, missing = search.find(sight, terms)
    if missing:
        raise NotThere(" ".join(missing))
    return Wanted(sight, terms, found)


@extend_schema_view(get=extend_schema(parameters=PARAMETERS, tags=["events"], operation_id="events_list"))
class Events(ListAPIView[Event]):
    """What happened in the projects that you may see, newest first.

    What concerns no project is for administrators and system auditors. Token, address and request id are told to
    those who may read the project's audit, and only they can search for them.
    """

    serializer_class = EventSerializer
    newest_first = "-id"

    def get_queryset(self) -> QuerySet[Event]:
        if getattr(self, "swagger_fake_view", False):
            return Event.objects.none()
        self._wanted = wanted(self.request)
        return self._wanted.events

    def get_serializer_context(self) -> dict[str, Any]:
        found = getattr(self, "_wanted", None)
        return {**super().get_serializer_context(), "sight": found.sight if found else None}


_SENT = (
    "Server-sent events: `id` is the place in the chain, `event` the kind, `data` the event as the list has it. "
    "Comments keep the connection alive; `event: end` says why it ends, and nothing follows."
)


class EventsStream(APIView):
    """What happens from now on, as server-sent events."""

    renderer_classes = (EventStream, JSONRenderer)

    @extend_schema(
        parameters=[
            *PARAMETERS,
            OpenApiParameter(
                "Last-Event-ID",
                OpenApiTypes.INT,
                location=OpenApiParameter.HEADER,
                description="Of the last one that you have; what came after it is sent first.",
            ),
            OpenApiParameter("after", int, description="The same, for clients that cannot set headers."),
        ],
        responses={(200, "text/event-stream"): OpenApiResponse(str, description=_SENT)},
        tags=["events"],
        operation_id="events_stream",
    )
    def get(self, request: Request) -> HttpResponseBase:
        """What happens from now on, in the order in which it was committed. It ends when your rights do."""
        found = wanted(request)
        after = _position(request)
        body = stream.follow(stream.Listener(request, found.sight, found.terms, EventSerializer), after)
        _let_go_of_the_database()
        return StreamingHttpResponse(
            body,
            content_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )


class EventsExport(APIView):
    """Events as JSON lines, with the digests that prove them."""

    renderer_classes = (JsonLines, JSONRenderer)

    @extend_schema(
        parameters=PARAMETERS,
        responses={
            (200, "application/jsonl"): inline_serializer(
                "ExportedEvent",
                {
                    "position": serializers.IntegerField(help_text="In the chain."),
                    "previous": serializers.CharField(help_text="The digest before it."),
                    "digest": serializers.CharField(
                        help_text="SHA-256 of that, a line feed, and the text of event."
                    ),
                    "event": serializers.DictField(),
                },
            )
        },
        tags=["events"],
        operation_id="events_export",
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Every event whose audit you may read, in the order of the chain; docs/audit.md says how to verify them."""
        found = wanted(request)
        return exported(found.sight, found.terms)


def exported(sight: Sight, terms: list[Term]) -> StreamingHttpResponse:
    """The events that are asked for, of projects whose audit they may read. Raises `PermissionDenied`."""
    found, _ = search.find(sight, terms)
    found = found & sight.with_source
    asked = next((term.value for term in terms if term.field == "project" and not term.negated), "")
    allowed = {slug for key, slug in sight.projects.items() if key in sight.audited}
    if not sight.audits or (asked and asked not in {*allowed, *map(str, sight.audited)}):
        raise PermissionDenied
    events.record("audit.exported", subject=SUBJECT, by=sight.user.username, asked=grammar.written(terms))
    response = StreamingHttpResponse(_lines(found), content_type="application/jsonl")
    response["Content-Disposition"] = 'attachment; filename="audit.jsonl"'
    return response


async def _lines(found: QuerySet[Event]) -> AsyncIterator[str]:
    chunks = export.chunks(found)
    following = database_sync_to_async(next, thread_sensitive=False)
    while (chunk := await following(chunks, None)) is not None:
        yield chunk


def _position(request: Request) -> int | None:
    given = request.headers.get("Last-Event-ID") or request.query_params.get("after") or ""
    if given and not (given.isascii() and given.isdecimal() and len(given) < 19):
        raise Invalid("Last-Event-ID is the number that the last event came with.")
    return int(given) if given else None


def _let_go_of_the_database() -> None:
    """A stream lasts for hours; this thread's connection would stay with it."""
    if not connection.in_atomic_block:
        connection.close()
