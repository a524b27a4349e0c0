"""The first page of a project."""

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from dashboard import project
from dashboard.pages import PageRequest, page, show


@require_safe
@page
def detail(request: PageRequest, slug: str) -> HttpResponse:
    return show(request, "dashboard/project.html", "project", project.view(slug, request.user))
