"""The fleet: everything that you may see, and what of it needs you."""

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from dashboard import copying, fleet
from dashboard.pages import PageRequest, page, show


@require_safe
@page
def index(request: PageRequest) -> HttpResponse:
    asked = fleet.Filter.read(request.GET)
    states = asked.group.states if asked.group else ()
    copies = copying.of_fleet(request, project=asked.project, states=states)
    context = fleet.view(request.user, asked) | {"copies": copies}
    return show(request, "dashboard/fleet.html", "fleet", context)
