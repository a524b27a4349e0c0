"""A screen on a wall, for whoever has its address: nobody signs in there, and nothing can be done.

The address is a key: it is given to no other server by a Referer, to no cache and to no search engine.
"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from dashboard import screens, version, wall
from dashboard.models import Screen

PAGE = "wall/wall.html"
HEADERS = {"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow", "Vary": "HX-Request"}


@require_safe
@never_cache
def shown(request: HttpRequest, key: str) -> HttpResponse:
    """The screen; for an address that was revoked, or never was, a sentence that says so."""
    screen = screens.by_key(key)
    if screen is not None:
        screens.seen(screen, request.META.get("REMOTE_ADDR"))
    return answer(request, screen)


def answer(request: HttpRequest, screen: Screen | None) -> HttpResponse:
    """The page; or only what changes of it, when its script asks."""
    context = wall.view(screen) if screen else {"gone": True, "version": version.digest()}
    name = f"{PAGE}#wall" if "HX-Request" in request.headers else PAGE
    response = render(request, name, context, status=200 if screen else 404)
    for header, value in HEADERS.items():
        response[header] = value
    return response
