"""Receipts over REST."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from gateway.receipts import build
from machines import actions
from projects.permissions import acting


class ReceiptHeadSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField(help_text="How many entries there are.")
    digest = serializers.CharField(help_text="Of the last entry.")
    signed_at = serializers.CharField(help_text="In UTC.")
    key = serializers.CharField(help_text="The public Ed25519 key, in hexadecimal.")
    signature = serializers.CharField(help_text="In hexadecimal.")


class ReceiptSerializer(serializers.Serializer[Any]):
    format = serializers.CharField()
    entries = serializers.ListField(
        child=serializers.DictField(), help_text="Each with its `kind`, and the digest of the one before it."
    )
    head = ReceiptHeadSerializer()


class MachineReceipt(APIView):
    """What a machine was told, asked, kept, changed and cost, as a chain of digests that is signed."""

    @extend_schema(
        parameters=[
            OpenApiParameter("so_far", bool, description="Of a machine that has not ended: what there is."),
            OpenApiParameter(
                "texts", bool, description="With the prompt and messages, not only their hashes."
            ),
        ],
        responses=ReceiptSerializer,
        tags=["machines"],
        operation_id="machines_receipt",
    )
    def get(self, request: Request, reference: str) -> Response:
        """It can be verified without us: `autovibe receipt verify`. 409 while the machine goes on."""
        machine = actions.find(reference, user=request.user)
        return Response(
            build.receipt(
                machine,
                by=acting(request.user),
                so_far=_wants(request, "so_far"),
                texts=_wants(request, "texts"),
            )
        )


def _wants(request: Request, name: str) -> bool:
    return request.query_params.get(name, "") in {"1", "true"}
