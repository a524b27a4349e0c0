"""What the API says of itself and of who is asking: an index, `me`, and `health`."""

from typing import Any

from django.db.models import Count, Min
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from autovibe import health
from gateway.models import Call
from guests.models import Guest
from operations.models import Operation, Status
from projects.models import ApiToken, Project, User
from projects.permissions import acting
from projects.roles import Right, Role, role_of

VERSION = "1"
LINKS = (
    "me",
    "health",
    "projects",
    "machines",
    "machine-types",
    "checkpoints",
    "operations",
    "resources/overview",
    "budget-requests",
    "transfers",
    "prices",
)


class IndexSerializer(serializers.Serializer[Any]):
    version = serializers.CharField()
    reference = serializers.CharField(help_text="The same as pages.")
    schema = serializers.CharField(help_text="OpenAPI 3.1.")
    links = serializers.DictField(child=serializers.CharField(), help_text="Where to begin.")


class Index(APIView):
    """What there is: the version, where it is described, and where to begin."""

    permission_classes = (AllowAny,)

    @extend_schema(responses=IndexSerializer, tags=["about"], operation_id="index")
    def get(self, request: Request) -> Response:
        links = {name: f"/api/v1/{name}/" for name in LINKS}
        index = {"version": VERSION, "reference": "/api/", "schema": "/api/schema/", "links": links}
        return Response(IndexSerializer(index).data)


class TokenInUseSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(allow_null=True, help_text="Null: it is no named token.")
    rights = serializers.ListField(child=serializers.CharField(), help_text="The most that it allows.")
    project = serializers.CharField(allow_null=True, help_text="The only one it is for; null: all.")
    expires_at = serializers.DateTimeField(allow_null=True)


class OwnProjectSerializer(serializers.Serializer[Any]):
    project = serializers.CharField()
    role = serializers.ChoiceField(
        choices=Role.choices, allow_null=True, help_text="Null: the rights are those of no role."
    )
    rights = serializers.ListField(child=serializers.ChoiceField(choices=[right.value for right in Right]))


class MeSerializer(serializers.Serializer[Any]):
    username = serializers.CharField()
    kind = serializers.ChoiceField(choices=User.Kind.choices)
    administers = serializers.BooleanField(help_text="Whether you may act on the whole system.")
    token = TokenInUseSerializer(allow_null=True, help_text="Null: you are signed in by a session.")
    projects = OwnProjectSerializer(many=True, help_text="Those that you may see, with this token.")


class Me(APIView):
    """Who you are to the API, and what you may do with the token in use."""

    @extend_schema(responses=MeSerializer, tags=["about"], operation_id="me")
    def get(self, request: Request) -> Response:
        user = acting(request.user)
        me = {
            "username": user.username,
            "kind": user.kind,
            "administers": user.administers,
            "token": _token(user),
            "projects": _projects(user),
        }
        return Response(MeSerializer(me).data)


def _token(user: User) -> dict[str, Any] | None:
    bounds = user.bounds
    if bounds is None:
        return None
    project = Project.objects.filter(pk=bounds.project_id).first() if bounds.project_id else None
    token = ApiToken.objects.filter(pk=bounds.token_id).first() if bounds.token_id else None
    return {
        "name": token.name if token else None,
        "rights": sorted(bounds.rights),
        "project": project.slug if project else None,
        "expires_at": bounds.expires_at,
    }


def _projects(user: User) -> list[dict[str, Any]]:
    held: dict[str, list[str]] = {}
    for right in Right:
        for slug in Project.objects.permitted(user, right).values_list("slug", flat=True):
            held.setdefault(slug, []).append(right.value)
    return [
        {"project": slug, "role": role_of(frozenset(rights)), "rights": rights}
        for slug, rights in sorted(held.items())
    ]


class DetailsSerializer(serializers.Serializer[Any]):
    parts = serializers.DictField(
        child=serializers.CharField(), help_text="database, worker, hub, node: ok, or what is the matter."
    )
    queued = serializers.IntegerField(help_text="Operations that wait for a worker.")
    queued_since = serializers.DateTimeField(allow_null=True, help_text="The oldest of them.")
    needs_operator = serializers.IntegerField(help_text="Operations that wait for a person.")
    calls = serializers.IntegerField(help_text="Model calls that the gateway has under way.")
    proxmox_seen_at = serializers.DateTimeField(allow_null=True, help_text="When it last reported a guest.")


class HealthSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["ok", "degraded"])
    at = serializers.DateTimeField()
    details = DetailsSerializer(allow_null=True, help_text="For administrators; else null.")


class Health(APIView):
    """Whether all of autovibe's parts are at work. It answers 200 either way; `/healthz` is for load balancers."""

    permission_classes = (AllowAny,)

    @extend_schema(responses=HealthSerializer, tags=["about"], operation_id="health")
    def get(self, request: Request) -> Response:
        parts = health.parts()
        status = "ok" if set(parts.values()) == {"ok"} else "degraded"
        details = _details(parts) if getattr(request.user, "administers", False) else None
        found = {"status": status, "at": timezone.now(), "details": details}
        return Response(HealthSerializer(found).data)


def _details(parts: dict[str, str]) -> dict[str, Any]:
    waiting = Operation.objects.filter(status=Status.QUEUED).aggregate(
        many=Count("pk"), since=Min("created_at")
    )
    return {
        "parts": parts,
        "queued": waiting["many"],
        "queued_since": waiting["since"],
        "needs_operator": Operation.objects.needing_operator().count(),
        "calls": Call.objects.filter(state__in=(Call.State.ADMITTED, Call.State.STREAMING)).count(),
        "proxmox_seen_at": Guest.last_observed_at(),
    }
