"""The tree of a project's checkpoints."""

from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_safe

from dashboard import trees
from dashboard.pages import PageRequest, page, show
from projects import actions as projects
from projects.models import Project


@require_safe
@page
def project(request: PageRequest, slug: str) -> HttpResponse:
    found = projects.find(slug, user=request.user)
    return show(request, "dashboard/tree.html", "tree", trees.view(found, request.user, request.GET))


@require_safe
@page
def index(request: PageRequest) -> HttpResponse:
    """The projects whose checkpoints one may see; the only one's, at once."""
    found = list(Project.objects.permitted(request.user, "view_project").order_by("slug"))
    if len(found) == 1:
        return redirect("dashboard:tree", found[0].slug)
    return show(request, "dashboard/trees.html", "trees", {"projects": found})
