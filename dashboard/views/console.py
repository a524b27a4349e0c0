"""The page of a machine's console. What is typed and printed goes over its socket (`dashboard.console`)."""

from django.contrib.staticfiles import finders
from django.http import HttpResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.views.decorators.http import require_safe

from dashboard import console, words
from dashboard.pages import PageRequest, page
from machines import actions
from projects.permissions import require_operating

# What bin/assets fetches for it.
ASSETS = {"xterm": "xterm.mjs", "fit": "addon-fit.mjs", "style": "xterm.css"}


@require_safe
@page
def terminal(request: PageRequest, handle: str) -> HttpResponse:
    found = actions.find(handle, user=request.user)
    require_operating(request.user, found)
    assets = {name: _address(f"vendor/xterm/{file}") for name, file in ASSETS.items()}
    context = {
        "machine": found,
        "assets": assets if all(assets.values()) else None,
        "idle": words.elapsed(console.IDLE_SECONDS),
    }
    return render(request, "dashboard/console.html", context)


def _address(name: str) -> str:
    """Where a static file is served; "" when it was not fetched, or not collected since."""
    if not finders.find(name):
        return ""
    try:
        return static(name)
    except ValueError:
        return ""
