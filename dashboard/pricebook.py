"""The price book: what the models that were used cost now, where each price comes from, and any other on request."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from budgets import book, prices, reports
from budgets.errors import UnknownPrice
from budgets.models import PriceOverride
from budgets.prices import Rates
from projects.models import Project, User

BACK = timedelta(days=30)
HISTORY_SHOWN = 50


@dataclass(frozen=True)
class Priced:
    """A model and its price now, by length of the prompt; or why it has none."""

    model: str
    tiers: tuple[tuple[int, Rates], ...] = ()
    version: str = ""
    unknown: str = ""


def view(user: User, asked: str) -> dict[str, Any]:
    """The context of the page."""
    book.refresh()
    now = timezone.now()
    visible = Project.objects.permitted(user, "view_project").values_list("pk", flat=True)
    used = reports.breakdown(visible, since=now - BACK, until=now).labels
    models = sorted(name for name, of_model in used.items() if of_model.calls)
    return {
        "asked": asked,
        "found": [priced(asked)] if asked else [],
        "models": [priced(model) for model in models],
        "by_hand": {page.model for page in book.current()},
        "overrides": list(PriceOverride.objects.all()[:HISTORY_SHOWN]),
        "ceiling": settings.PRICE_CEILING,
        "list": prices.version(),
        "currency": prices.CURRENCY,
    }


def priced(model: str) -> Priced:
    """Of whichever provider lists it."""
    try:
        found = book.price_of(model)
    except UnknownPrice as error:
        return Priced(model, unknown=str(error))
    return Priced(model, found.tiers, found.version)
