"""Saying something to a machine's agent."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from dashboard.pages import PageRequest, page
from dashboard.views.machines import shown
from machines import actions
from projects.errors import Refusal
from projects.permissions import require_operating


@require_POST
@page
def message(request: PageRequest, handle: str) -> HttpResponse:
    """Say `text`, with `now` at once. What is refused stays on the page, so that it is not typed again."""
    found = actions.find(handle, user=request.user)
    require_operating(request.user, found)
    text = request.POST.get("text", "").replace("\r\n", "\n")
    try:
        said = actions.message(found, text, by=request.user, now="now" in request.POST)
    except Refusal as refusal:
        messages.error(request, str(refusal))
        return shown(request, found, draft=text, status=refusal.status)
    messages.success(request, said.told)
    return redirect("dashboard:machine", found.handle)
