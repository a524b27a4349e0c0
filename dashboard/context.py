"""What the frame around every page shows."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from dashboard import needs
from gateway import upstreams


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context processor. The count costs a query, and only where a template shows it."""
    return {
        "offline_model": SimpleLazyObject(upstreams.nobody_answers),
        "needing": SimpleLazyObject(lambda: needs.count(request.user)),
    }
