"""Everything that waits for a person."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from dashboard import needs, snoozing, waiting, words
from dashboard.pages import PageRequest, page, show
from machines import actions
from projects.errors import Conflict, Invalid, Refusal
from projects.permissions import require_operating


@require_safe
@page
def index(request: PageRequest) -> HttpResponse:
    return show(request, "dashboard/needs.html", "needs", waiting.view(request.user))


@require_POST
@page
def acknowledge(request: PageRequest, handle: str) -> HttpResponse:
    """A failure was seen, and leaves the list of everybody."""
    found = actions.find(handle, user=request.user)
    require_operating(request.user, found)
    try:
        needs.acknowledge(found, by=request.user)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, f"{found.handle} needs nobody any more. It stays in the list of machines.")
    return redirect("dashboard:needs")


@require_POST
@page
def snooze(request: PageRequest) -> HttpResponse:
    """Something leaves the list of whoever asks, for a while."""
    try:
        until = snoozing.snooze(request.user, request.POST.get("item", ""), request.POST.get("for", ""))
    except (Conflict, Invalid) as refusal:
        messages.error(request, str(refusal))
    else:
        when = f"at {words.clock(until)}, or before if it changes" if until else "when it changes"
        messages.success(request, f"Snoozed, for you alone. It comes back {when}.")
    return redirect("dashboard:needs")


@require_POST
@page
def wake(request: PageRequest) -> HttpResponse:
    """What was snoozed is listed again."""
    snoozing.wake(request.user, request.POST.get("item", ""))
    return redirect("dashboard:needs")
