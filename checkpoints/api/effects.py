"""Effects over REST: what going back to a checkpoint does not undo."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from checkpoints import actions
from checkpoints.models import Checkpoint, Effect
from checkpoints.triggers import effects


class EffectSerializer(serializers.ModelSerializer[Effect]):
    """Something that an agent did outside its guest."""

    class Meta:
        model = Effect
        fields = ["origin", "call_number", "kind", "summary", "at"]
        read_only_fields = fields


class NotUndoneSerializer(serializers.Serializer[Any]):
    handle = serializers.CharField()
    effects = EffectSerializer(many=True)
    more = serializers.IntegerField(help_text="How many are not listed.")


def not_undone(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """What a return to the checkpoint leaves as it is, as it is shown."""
    return list(EffectSerializer(effects.since(checkpoint)[: effects.LISTED_MAX], many=True).data)


class CheckpointEffects(APIView):
    """What agents did since this checkpoint that reached outside their guests: pushes, pull requests, mails, …"""

    @extend_schema(
        parameters=[
            OpenApiParameter("until", str, description="Only up to that checkpoint of the same machine.")
        ],
        responses=NotUndoneSerializer,
        tags=["checkpoints"],
        operation_id="checkpoints_effects",
    )
    def get(self, request: Request, reference: str) -> Response:
        checkpoint = actions.find(reference, user=request.user)
        until = request.query_params.get("until")
        later = actions.find(until, user=request.user) if until else None
        found = effects.since(checkpoint, later)
        listed = found[: effects.LISTED_MAX]
        answer = {
            "handle": checkpoint.handle,
            "effects": listed,
            "more": max(found.count() - effects.LISTED_MAX, 0),
        }
        return Response(NotUndoneSerializer(answer).data)
