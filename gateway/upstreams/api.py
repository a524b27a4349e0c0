"""Upstreams over REST, for staff. Secrets of keys can be sent, and are never sent back."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from gateway import secrets
from gateway.models import Dialect, Upstream, UpstreamKey
from gateway.upstreams import actions, probe, registry
from projects.permissions import ForStaff, acting


class KeySerializer(serializers.Serializer[Any]):
    name = serializers.CharField(source="label")
    weight = serializers.IntegerField()
    requests_per_minute = serializers.IntegerField(min_value=1, allow_null=True)
    tokens_per_minute = serializers.IntegerField(min_value=1, allow_null=True)
    enabled = serializers.BooleanField()
    state = serializers.SerializerMethodField(help_text="ok, disabled, refused, unreadable")
    refused_at = serializers.DateTimeField(read_only=True, allow_null=True)
    last_error = serializers.CharField(read_only=True)

    def get_state(self, key: UpstreamKey) -> str:
        if not key.enabled:
            return "disabled"
        if key.cooled_until and key.cooled_until > timezone.now():
            return "refused"
        try:
            secrets.unseal(registry.SECRETS, bytes(key.sealed))
        except secrets.Unreadable:
            return "unreadable"
        return "ok"


class NewKeySerializer(serializers.Serializer[Any]):
    secret = serializers.CharField(
        max_length=1000, required=False, write_only=True, help_text="Left out: it stays as it is."
    )
    weight = serializers.IntegerField(min_value=1, max_value=32767, required=False)
    requests_per_minute = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, required=False, allow_null=True
    )
    tokens_per_minute = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, required=False, allow_null=True
    )
    enabled = serializers.BooleanField(required=False)


class UpstreamSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    base_url = serializers.CharField()
    dialects = serializers.ListField(child=serializers.CharField())
    models = serializers.ListField(
        source="model_patterns",
        child=serializers.CharField(),
        help_text="Names, or patterns such as claude-*.",
    )
    priority = serializers.IntegerField()
    weight = serializers.IntegerField()
    free = serializers.BooleanField()
    enabled = serializers.BooleanField()
    in_environment = serializers.BooleanField(help_text="Configured by variables, and changed there.")
    keys = KeySerializer(source="key_rows", many=True)


class UpstreamsSerializer(serializers.Serializer[Any]):
    results = UpstreamSerializer(many=True)


class NewUpstreamSerializer(serializers.Serializer[Any]):
    name = serializers.SlugField(max_length=60)
    base_url = serializers.CharField(max_length=200, help_text="Such as https://api.example.com")
    dialects = serializers.ListField(child=serializers.ChoiceField(choices=Dialect.choices), min_length=1)
    models = serializers.ListField(
        source="model_patterns",
        child=serializers.CharField(max_length=100),
        min_length=1,
        required=False,
        help_text="Names, or patterns such as claude-*. Left out: all.",
    )
    priority = serializers.IntegerField(min_value=0, max_value=32767, required=False)
    weight = serializers.IntegerField(min_value=1, max_value=32767, required=False)
    free = serializers.BooleanField(required=False)
    enabled = serializers.BooleanField(required=False)


class TrySerializer(serializers.Serializer[Any]):
    model = serializers.CharField(max_length=100, required=False, default="", allow_blank=True)


class ReportSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    answered = serializers.BooleanField()
    sentence = serializers.CharField()
    status = serializers.IntegerField(allow_null=True)
    model = serializers.CharField()
    models = serializers.IntegerField(allow_null=True, help_text="How many it lists.")
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cost_micros = serializers.IntegerField(allow_null=True, help_text="Null: the price is not known.")
    milliseconds = serializers.IntegerField(allow_null=True)


class ReportsSerializer(serializers.Serializer[Any]):
    results = ReportSerializer(many=True)


def described(upstream: Upstream, keys: Sequence[UpstreamKey] | None = None) -> dict[str, Any]:
    fields = ("name", "base_url", "dialects", "model_patterns", "priority", "weight", "free", "enabled")
    rows = upstream.keys.order_by("label") if keys is None else keys
    shown = {field: getattr(upstream, field) for field in fields}
    return dict(UpstreamSerializer({**shown, "in_environment": False, "key_rows": rows}).data)


def _of_environment(target: registry.Target) -> dict[str, Any]:
    key = UpstreamKey(label=target.label)
    upstream = Upstream(name=target.name, base_url=target.base_url, dialects=sorted(target.dialects))
    shown = described(upstream, [key])
    return {**shown, "in_environment": True, "keys": [{**shown["keys"][0], "state": "ok"}]}


class Upstreams(APIView):
    """The servers that answer model calls."""

    permission_classes = (ForStaff,)

    @extend_schema(responses=UpstreamsSerializer, tags=["upstreams"], operation_id="upstreams_list")
    def get(self, request: Request) -> Response:
        rows = Upstream.objects.prefetch_related("keys")
        environment = [_of_environment(target) for target in registry.of_environment()]
        return Response({"results": [*environment, *map(described, rows)]})

    @extend_schema(
        request=NewUpstreamSerializer,
        responses={201: UpstreamSerializer},
        tags=["upstreams"],
        operation_id="upstreams_add",
    )
    def post(self, request: Request) -> Response:
        """Add one; a key of it is added next, unless it is free and wants none."""
        asked = NewUpstreamSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        upstream = actions.add(by=acting(request.user).get_username(), **asked.validated_data)
        return Response(described(upstream), status=201)


class UpstreamDetail(APIView):
    """One upstream."""

    permission_classes = (ForStaff,)

    @extend_schema(responses=UpstreamSerializer, tags=["upstreams"], operation_id="upstreams_show")
    def get(self, request: Request, name: str) -> Response:
        return Response(described(actions.find(name)))

    @extend_schema(
        request=NewUpstreamSerializer(partial=True),
        responses=UpstreamSerializer,
        tags=["upstreams"],
        operation_id="upstreams_change",
    )
    def patch(self, request: Request, name: str) -> Response:
        """Change some of its fields; its name stays."""
        upstream = actions.find(name)
        asked = NewUpstreamSerializer(data={**request.data, "name": name}, partial=True)
        asked.is_valid(raise_exception=True)
        fields = {key: value for key, value in asked.validated_data.items() if key != "name"}
        return Response(described(actions.change(upstream, by=acting(request.user).get_username(), **fields)))

    @extend_schema(responses={204: None}, tags=["upstreams"], operation_id="upstreams_remove")
    def delete(self, request: Request, name: str) -> Response:
        """Remove it, with its keys. Calls under way go on."""
        actions.remove(actions.find(name), by=acting(request.user).get_username())
        return Response(status=204)


class UpstreamKeyDetail(APIView):
    """One key of an upstream."""

    permission_classes = (ForStaff,)

    @extend_schema(
        request=NewKeySerializer,
        responses=UpstreamSerializer,
        tags=["upstreams"],
        operation_id="upstreams_set_key",
    )
    def put(self, request: Request, name: str, label: str) -> Response:
        """Add a key, or change it; a new secret replaces the old one."""
        asked = NewKeySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        upstream = actions.find(name)
        actions.set_key(upstream, label, by=acting(request.user).get_username(), **asked.validated_data)
        return Response(described(upstream))

    @extend_schema(responses={204: None}, tags=["upstreams"], operation_id="upstreams_remove_key")
    def delete(self, request: Request, name: str, label: str) -> Response:
        actions.remove_key(actions.find(name), label, by=acting(request.user).get_username())
        return Response(status=204)


class UpstreamTest(APIView):
    """Try an upstream."""

    asks_outside = True

    permission_classes = (ForStaff,)

    @extend_schema(
        request=TrySerializer,
        responses=ReportsSerializer,
        tags=["upstreams"],
        operation_id="upstreams_test",
    )
    def post(self, request: Request, name: str) -> Response:
        """Have each of its keys make the smallest call there is. It costs what it costs, and is on no budget."""
        asked = TrySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        reports = probe.run(name, asked.validated_data["model"])
        return Response({"results": [ReportSerializer(asdict(report)).data for report in reports]})
