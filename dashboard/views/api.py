"""The API's reference as pages; they need nothing from the internet."""

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard import reference
from dashboard.pages import PageRequest, page


@require_safe
@page
def index(request: PageRequest) -> HttpResponse:
    """How the API works, and every route in a line."""
    return render(request, "dashboard/api.html", {"reference": reference.read(_origin(request))})


@require_safe
@page
def tag(request: PageRequest, name: str) -> HttpResponse:
    """The routes of one tag, whole: everything open, so that a browser's own search finds it."""
    found = reference.read(_origin(request))
    if name not in found.tags:
        raise Http404
    context = {"name": name, "text": found.tags[name], "routes": found.routes[name], "tags": found.tags}
    return render(request, "dashboard/api_tag.html", context)


def _origin(request: PageRequest) -> str:
    return f"{request.scheme}://{request.get_host()}"
