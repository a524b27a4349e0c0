"""The audit trail: search, and export."""

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from audit import grammar
from audit.api import exported
from audit.grammar import Term
from audit.search import Sight
from dashboard import happened
from dashboard.pages import PageRequest, page, show
from projects.errors import NotThere


@require_safe
@page
def index(request: PageRequest, slug: str = "") -> HttpResponse:
    """What `?q=` finds, in everything or in one project; older than the event `?before=`."""
    return show(request, "dashboard/audit.html", "rows", happened.view(request.user, request.GET, slug))


@require_safe
@page
def export(request: PageRequest, slug: str = "") -> HttpResponseBase:
    """All that `?q=` finds, as JSON lines."""
    sight = Sight.of(request.user)
    if slug and slug not in sight.projects.values():
        raise NotThere(f"There is no project {slug!r} that you may see.")
    terms = grammar.parse(request.GET.get("q", "")).terms
    return exported(sight, [*terms, *([Term("project", slug)] if slug else [])])
