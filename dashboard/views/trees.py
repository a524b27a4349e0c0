"""The tree of a project's checkpoints."""

from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_safe

from dashboard import trees
from dashboard.pages import PageRequest, page, show
from projects import actions as projects
from projects.errors import NotThere
from projects.models import Project


@require_safe
@page
def project(request: PageRequest, slug: str) -> HttpResponse:
    found = projects.find(slug, user=request.user)
    return show(request, "dashboard/tree.html", "tree", trees.view(found, request.user, request.GET))


@require_safe
@page
def compare(request: PageRequest, slug: str) -> HttpResponse:
    """To the comparison of `?here=` with `?there=`: checkpoints, or machines, which stand for their last one."""
    project = projects.find(slug, user=request.user)
    try:
        here, there = (trees.named(request.GET.get(name, ""), request.user) for name in ("here", "there"))
    except NotThere as error:
        messages.error(request, str(error))
        return redirect("dashboard:tree", project.slug)
    address = reverse("dashboard:compare", args=[here.handle])
    return redirect(f"{address}?{urlencode({'with': there.handle})}")


@require_safe
@page
def index(request: PageRequest) -> HttpResponse:
    """The projects whose checkpoints one may see; the only one's, at once."""
    found = list(Project.objects.permitted(request.user, "view_project").order_by("slug"))
    if len(found) == 1:
        return redirect("dashboard:tree", found[0].slug)
    return show(request, "dashboard/trees.html", "trees", {"projects": found})
