"""The fleet: everything that you may see, and what of it needs you."""

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from dashboard import fleet
from dashboard.pages import PageRequest, page, show


@require_safe
@page
def index(request: PageRequest) -> HttpResponse:
    asked = fleet.Filter.read(request.GET)
    return show(request, "dashboard/fleet.html", "fleet", fleet.view(request.user, asked))
