"""What somebody has chosen, for the request at hand: the zone that times are shown in, and how the frame looks."""

from collections.abc import Callable
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from dashboard.models import Preferences, Snooze
from events import actions as events
from projects.models import User

COOKIE = "zone"  # `theme.js` writes the browser's own zone there
API = "/api/v1/"  # for programs, and in UTC


class ZoneMiddleware:
    """Times are in the zone of whoever looks, on every page; `request.preferences` is what they chose."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(API):
            return self._get_response(request)
        chosen = SimpleLazyObject(lambda: of(request))
        request.preferences = chosen  # type: ignore[attr-defined]
        with timezone.override(ZoneInfo(_zone(request))):
            return self._get_response(request)


def of(request: HttpRequest) -> Preferences:
    """Of whoever is signed in; the defaults for everybody else. Whether anything is snoozed comes with them."""
    user = request.user
    if not isinstance(user, User):
        return Preferences()
    snoozes = Exists(Snooze.objects.filter(user=OuterRef("user")))
    found = Preferences.objects.filter(user=user).annotate(snoozes=snoozes).first() or Preferences()
    found.user = user  # which remembers them for this request
    return found


def save(preferences: Preferences, user: User) -> None:
    """Keep what this person chose."""
    preferences.user = user
    preferences.save()
    events.record("user.preferences", subject=user.subject, by=user.username, zone=preferences.zone)


@lru_cache
def zones() -> frozenset[str]:
    """The names of all time zones."""
    return frozenset(available_timezones())


def _zone(request: HttpRequest) -> str:
    """What was chosen, or else what the browser says, or else UTC."""
    preferences: Preferences = request.preferences  # type: ignore[attr-defined]
    asked = preferences.zone or request.COOKIES.get(COOKIE, "")
    return asked if asked in zones() else "UTC"
