"""The price book over REST, and pricing the past anew. Reading is for everybody, writing for staff."""

from typing import Any

from django.core.exceptions import PermissionDenied
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from budgets import book, prices, rerate
from budgets.api import checked
from budgets.errors import UnknownPrice
from budgets.models import PriceOverride, Rerating
from budgets.prices import Price
from projects import actions as projects
from projects.errors import NotThere
from projects.permissions import ForStaff, acting

MODEL_MAX = 100


class RatesSerializer(serializers.Serializer[Any]):
    """Units of the currency per million tokens, as decimal texts; searches per million."""

    input = serializers.CharField()
    cache_read = serializers.CharField()
    cache_write = serializers.CharField(help_text="Kept for five minutes.")
    cache_write_1h = serializers.CharField(help_text="Kept for an hour.")
    output = serializers.CharField()
    web_search = serializers.CharField()


class TierSerializer(serializers.Serializer[Any]):
    above_tokens = serializers.IntegerField(help_text="Of calls whose prompt is longer than this.")
    rates = RatesSerializer()


class PriceSerializer(serializers.Serializer[Any]):
    model = serializers.CharField()
    source = serializers.ChoiceField(  # type: ignore[assignment]
        choices=book.SOURCES, help_text="Where it comes from."
    )
    version = serializers.CharField(help_text="What ledger entries will be marked with.")
    currency = serializers.CharField()
    tiers = TierSerializer(many=True)


class PageSerializer(serializers.ModelSerializer[PriceOverride]):
    prices = serializers.DictField(
        child=serializers.CharField(), help_text="Units of the currency per million tokens."
    )

    class Meta:
        model = PriceOverride
        fields = ["id", "model", "prices", "note", "actor", "created_at"]
        read_only_fields = fields


class BookSerializer(serializers.Serializer[Any]):
    version = serializers.CharField()
    currency = serializers.CharField()
    results = PageSerializer(many=True, help_text="What was entered over the list's prices.")


class NewPriceSerializer(serializers.Serializer[Any]):
    """Per million tokens. What is left out costs as much as what it is a kind of."""

    model = serializers.CharField(max_length=MODEL_MAX)
    input = serializers.CharField(help_text="Such as 3 or 0.30.")
    output = serializers.CharField()
    cache_read = serializers.CharField(required=False)
    cache_write = serializers.CharField(required=False)
    cache_write_1h = serializers.CharField(required=False)
    web_search = serializers.CharField(required=False, help_text="Per million searches.")
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=200)


class ReratingSerializer(serializers.ModelSerializer[Rerating]):
    project = serializers.CharField(source="project.slug", default=None, help_text="Null: all projects.")

    class Meta:
        model = Rerating
        fields = [
            "id", "project", "since", "until", "price_version", "entries", "micros", "actor", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class ReratingsSerializer(serializers.Serializer[Any]):
    results = ReratingSerializer(many=True)


class NewReratingSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    project = serializers.CharField(required=False, help_text="Left out: all projects.")
    dry_run = serializers.BooleanField(default=False, help_text="Only say what it would come to.")


class PreviewSerializer(serializers.Serializer[Any]):
    entries = serializers.IntegerField(help_text="How many are corrected.")
    micros = serializers.IntegerField(help_text="By how much in all.")
    price_version = serializers.CharField()


class Prices(APIView):
    """The price book."""

    @extend_schema(responses=BookSerializer, tags=["prices"], operation_id="prices_list")
    def get(self, request: Request) -> Response:
        book.refresh(now=True)
        found = {"version": prices.version(), "currency": prices.CURRENCY, "results": book.current()}
        return Response(BookSerializer(found).data)

    @extend_schema(
        request=NewPriceSerializer,
        responses={201: PriceSerializer},
        tags=["prices"],
        operation_id="prices_set",
    )
    def post(self, request: Request) -> Response:
        """Enter what a model costs from now on. What was charged already stays, until it is re-rated."""
        _require_staff(request)
        asked = checked(NewPriceSerializer, request.data)
        model, note = asked.pop("model"), asked.pop("note")
        book.enter(model, asked, by=acting(request.user), note=note)
        return Response(_described(model), status=201)


class PriceDetail(APIView):
    """What one model costs."""

    @extend_schema(responses=PriceSerializer, tags=["prices"], operation_id="prices_show")
    def get(self, request: Request, model: str) -> Response:
        try:
            return Response(_described(model))
        except UnknownPrice as error:
            raise NotThere(str(error)) from None

    @extend_schema(responses={204: None}, tags=["prices"], operation_id="prices_withdraw")
    def delete(self, request: Request, model: str) -> Response:
        """From now on the list's price counts again."""
        _require_staff(request)
        book.withdraw(model, by=acting(request.user))
        return Response(status=204)


class Reratings(APIView):
    """Past spans that were priced anew."""

    permission_classes = (ForStaff,)

    @extend_schema(responses=ReratingsSerializer, tags=["prices"], operation_id="reratings_list")
    def get(self, request: Request) -> Response:
        latest = Rerating.objects.select_related("project")[:200]
        return Response({"results": ReratingSerializer(latest, many=True).data})

    @extend_schema(
        request=NewReratingSerializer,
        responses={200: PreviewSerializer, 201: ReratingSerializer},
        tags=["prices"],
        operation_id="reratings_make",
    )
    def post(self, request: Request) -> Response:
        """Charge calls of the past by today's prices: the differences are entered. A long span takes minutes."""
        asked = checked(NewReratingSerializer, request.data)
        project = projects.named(asked["project"]) if asked.get("project") else None
        span = project, asked["since"], asked["until"]
        book.refresh(now=True)
        if asked["dry_run"]:
            found = rerate.preview(*span)
            shown = {"entries": found.entries, "micros": found.micros, "price_version": prices.version()}
            return Response(PreviewSerializer(shown).data)
        made = rerate.rerate(*span, by=acting(request.user))
        return Response(ReratingSerializer(made).data, status=201)


def _described(model: str) -> dict[str, Any]:
    """Raises `UnknownPrice`."""
    book.refresh(now=True)
    price = book.price_of(model)
    shown = {
        "model": model,
        "source": book.source_of(price),
        "version": price.version,
        "currency": prices.CURRENCY,
        "tiers": _tiers(price),
    }
    return dict(PriceSerializer(shown).data)


def _tiers(price: Price) -> list[dict[str, Any]]:
    return [
        {"above_tokens": start, "rates": {name: book.typed(getattr(rates, name)) for name in book.NAMES}}
        for start, rates in price.tiers
    ]


def _require_staff(request: Request) -> None:
    if not acting(request.user).administers:
        raise PermissionDenied
