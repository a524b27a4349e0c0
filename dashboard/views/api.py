"""The API's reference as a page; it needs nothing from the internet."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard import reference
from dashboard.pages import PageRequest, page


@require_safe
@page
def index(request: PageRequest) -> HttpResponse:
    origin = f"{request.scheme}://{request.get_host()}"
    return render(request, "dashboard/api.html", {"tags": reference.routes(origin)})
