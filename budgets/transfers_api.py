"""Transfers between projects over REST: propose, and decide for the side that is asked."""

from collections.abc import Callable
from typing import Any

from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from budgets import transfers
from budgets.api import COUNTED, checked
from budgets.models import Transfer
from budgets.resources import Period, Resource
from projects import actions as projects
from projects.errors import NotThere
from projects.models import Project, User
from projects.permissions import acting

Verb = Callable[..., None]
VERBS: dict[str, Verb] = {
    "accept": transfers.accept,
    "decline": transfers.decline,
    "withdraw": transfers.withdraw,
}


class TransferSerializer(serializers.ModelSerializer[Transfer]):
    giver = serializers.CharField(source="giver.slug")
    taker = serializers.CharField(source="taker.slug")
    currency = serializers.CharField(source="giver.currency")
    waits_for = serializers.SerializerMethodField(help_text="The project whose owners have still to agree.")
    proposed_by = serializers.CharField(source="proposed_by.username", default=None)
    decided_by = serializers.CharField(source="decided_by.username", default=None)

    class Meta:
        model = Transfer
        fields = [
            "id", "giver", "taker", "resource", "period", "amount", "currency", "note", "state", "waits_for",
            "proposed_by", "created_at", "decided_by", "decided_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_waits_for(self, transfer: Transfer) -> str | None:
        return transfer.other.slug if transfer.state == Transfer.State.PENDING else None


class ProposalSerializer(serializers.Serializer[Any]):
    giver = serializers.CharField(help_text="Whose limit becomes less. You own this project or the other.")
    taker = serializers.CharField(help_text="Whose limit becomes more.")
    resource = serializers.ChoiceField(choices=Resource.choices)
    amount = serializers.IntegerField(min_value=1, help_text=COUNTED)
    period = serializers.ChoiceField(
        choices=Period.choices,
        default=Period.TOTAL,
        help_text="Of which limits. Of a day, only the present one changes.",
    )
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=300)


@extend_schema_view(
    get=extend_schema(
        parameters=[
            OpenApiParameter("project", str, description="Only from or to this project."),
            OpenApiParameter("state", str, enum=Transfer.State.values),
        ],
        tags=["transfers"],
        operation_id="transfers_list",
    )
)
class Transfers(ListAPIView[Transfer]):
    """Transfers from and to projects that you may see, newest first."""

    serializer_class = TransferSerializer
    queryset = Transfer.objects.none()

    def get_queryset(self) -> QuerySet[Transfer]:
        found = _visible(acting(self.request.user))
        if slug := self.request.query_params.get("project"):
            project = projects.find(slug, user=self.request.user)
            found = found.filter(Q(giver=project) | Q(taker=project))
        if state := self.request.query_params.get("state"):
            found = found.filter(state=state)
        return found

    @extend_schema(
        request=ProposalSerializer,
        responses={201: TransferSerializer},
        tags=["transfers"],
        operation_id="transfers_propose",
    )
    def post(self, request: Request) -> Response:
        """Offer part of your project's limit, or ask for part of another's. Who owns both has agreed for both."""
        asked = checked(ProposalSerializer, request.data)
        giver, taker = (projects.find(asked.pop(side), user=request.user) for side in ("giver", "taker"))
        made = transfers.propose(giver, taker, **asked, by=acting(request.user))
        return Response(TransferSerializer(made).data, status=201)


class TransferVerb(APIView):
    """Decide upon a transfer."""

    verb = ""

    @extend_schema(request=None, responses=TransferSerializer, tags=["transfers"])
    def post(self, request: Request, number: int) -> Response:
        """Accept or decline it, for the side that is asked; withdraw it, for the side that proposed it."""
        found = _visible(acting(request.user)).filter(pk=number).first()
        if found is None:
            raise NotThere(f"There is no transfer {number} that you may see.")
        VERBS[self.verb](found, by=acting(request.user))
        return Response(TransferSerializer(found).data)


def _visible(user: User) -> QuerySet[Transfer]:
    seen = Project.objects.permitted(user, "view_project")
    found = Transfer.objects.filter(Q(giver__in=seen) | Q(taker__in=seen))
    return found.select_related("giver", "taker", "proposed_for", "proposed_by", "decided_by")
