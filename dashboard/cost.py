"""What a machine's calls came to, model by model, with the price of each kind of token."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum

from budgets import book
from dashboard.pricebook import priced
from gateway.models import Call, Upstream

KINDS = {
    "input_tokens": "input",
    "cached_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "output_tokens": "output",
}


@dataclass(frozen=True)
class Cell:
    """Tokens of one kind, and the price of a million of them now; None where there is none."""

    tokens: int
    rate: int | None


@dataclass(frozen=True)
class OfModel:
    """The calls of one model. `unpriced` of them used tokens that nobody has a price for."""

    model: str
    calls: int
    cells: list[Cell]
    cost_micros: int
    unpriced: int


def by_model(calls: QuerySet[Call]) -> list[OfModel]:
    """Of those calls; the dearest model first."""
    book.refresh()
    free = Upstream.objects.filter(free=True).values("name")
    unpaid = Q(cost_micros=0, output_tokens__gt=0) & ~Q(upstream__in=free)
    sums: dict[str, Any] = {name: Sum(name) for name in (*KINDS, "cost_micros")}
    found = calls.order_by().values("model")
    rows = found.annotate(calls=Count("pk"), unpaid=Count("pk", filter=unpaid), **sums)
    return [_of_model(row) for row in rows.order_by("-cost_micros", "model")]


def _of_model(row: dict[str, Any]) -> OfModel:
    price = priced(row["model"])
    rates = price.tiers[0][1] if price.tiers else None
    cells = [Cell(row[name], getattr(rates, kind) if rates else None) for name, kind in KINDS.items()]
    return OfModel(row["model"], row["calls"], cells, row["cost_micros"], 0 if rates else row["unpaid"])
