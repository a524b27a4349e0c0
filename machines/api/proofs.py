"""Proofs and exports of checkpoints over REST."""

from typing import Any

from django.db.models import F, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint, Verification
from checkpoints.states import Depth
from machines import actions
from operations.api import OperationSerializer
from projects.permissions import acting, require_operating


class VerifySerializer(serializers.Serializer[Any]):
    depth = serializers.ChoiceField(
        choices=Depth.choices,
        default=Depth.METADATA,
        help_text="metadata: row, snapshot and list of files agree. content: every file is hashed again in a scratch "
        "guest. boot: and an agent could go on there.",
    )
    of = serializers.ChoiceField(
        choices=["snapshot", "backup"],
        default="snapshot",
        help_text="backup: what is proven is its backup, restored into the scratch guest.",
    )


class VerificationSerializer(serializers.ModelSerializer[Verification]):
    checkpoint = serializers.CharField(source="checkpoint.handle", read_only=True)
    of = serializers.CharField(source="evidence.of", default="snapshot", read_only=True)
    asked_by = serializers.CharField(source="asked_by.username", default=None, read_only=True)
    evidence = serializers.JSONField(
        read_only=True, help_text="Figures: files hashed, bytes, lines of conversations."
    )
    seconds = serializers.FloatField(read_only=True, help_text="For how long a scratch guest was up for it.")

    class Meta:
        model = Verification
        fields = [
            "id",
            "checkpoint",
            "depth",
            "of",
            "verdict",
            "sentence",
            "evidence",
            "seconds",
            "asked_by",
            "asked_at",
            "ended_at",
        ]
        read_only_fields = fields


class CheckpointVerify(APIView):
    """Have it proven that it can be returned to."""

    @extend_schema(
        request=VerifySerializer,
        responses={202: VerificationSerializer},
        tags=["checkpoints"],
        operation_id="checkpoints_verify",
    )
    def post(self, request: Request, reference: str) -> Response:
        checkpoint = _operable(request, reference)
        asked = VerifySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = asked.validated_data
        verification = actions.verify(
            checkpoint, Depth(wanted["depth"]), by=acting(request.user), of_backup=wanted["of"] == "backup"
        )
        return Response(VerificationSerializer(verification).data, status=202)


@extend_schema_view(get=extend_schema(tags=["checkpoints"], operation_id="checkpoints_verifications"))
class CheckpointVerifications(ListAPIView[Verification]):
    """Every proof of it, and every attempt, newest first."""

    serializer_class = VerificationSerializer
    queryset = Verification.objects.none()

    def get_queryset(self) -> QuerySet[Verification]:
        checkpoint = checkpoints.find(self.kwargs["reference"], user=self.request.user)
        found = Verification.objects.filter(checkpoint=checkpoint).select_related("checkpoint", "asked_by")
        return found.annotate(created_at=F("asked_at"))  # by which pages are cut


class CheckpointExport(APIView):
    """Write its state to the backup storage, so that it outlives its guest and its storage."""

    @extend_schema(
        request=None,
        responses={202: OperationSerializer},
        tags=["checkpoints"],
        operation_id="checkpoints_export",
    )
    def post(self, request: Request, reference: str) -> Response:
        checkpoint = _operable(request, reference)
        operation = actions.export(checkpoint, by=acting(request.user))
        return Response(OperationSerializer(operation).data, status=202)


def _operable(request: Request, reference: str) -> Checkpoint:
    checkpoint = checkpoints.find(reference, user=request.user)
    require_operating(request.user, checkpoint)
    return checkpoint
