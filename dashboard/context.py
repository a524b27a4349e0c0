"""What the frame around every page shows."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from dashboard import navigation, version
from dashboard.counts import Counts
from gateway import upstreams


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context processor. A count costs a query, and only where a template shows it."""
    counts: Any = SimpleLazyObject(lambda: Counts(request.user))
    return {
        "offline_model": SimpleLazyObject(upstreams.nobody_answers),
        "needing": SimpleLazyObject(lambda: counts.needing),
        "main_links": SimpleLazyObject(lambda: navigation.links(navigation.MAIN, request)),
        "more_links": SimpleLazyObject(lambda: navigation.links(navigation.MORE, request)),
        "own_links": SimpleLazyObject(lambda: navigation.links(navigation.OWN, request)),
        "version": settings.VERSION,
        "digest": version.digest(),
        "zone": timezone.get_current_timezone_name(),
        "operating": SimpleLazyObject(lambda: counts.operating),
    }
