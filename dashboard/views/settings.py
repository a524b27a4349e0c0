"""Settings, for staff: how autovibe is connected to Proxmox, and what the last check of it found."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods, require_POST

from dashboard import cluster
from dashboard.pages import PageRequest, mistyped, page, show
from guests import diagnoses, strays
from guests.models import Stray
from projects.errors import Refusal


@require_http_methods(["GET", "HEAD", "POST"])
@page
def index(request: PageRequest) -> HttpResponse:
    """GET shows the last check, POST asks for another one: a worker does it, and the page hears of it."""
    if not diagnoses.may_see(request.user):
        raise PermissionDenied
    if request.method != "POST":
        return show(request, "dashboard/settings.html", "settings", cluster.view())
    diagnoses.ask(request.user.get_username())
    messages.success(request, "The cluster is being checked.")
    return redirect("dashboard:settings")


@require_POST
@page
def stray(request: PageRequest, vmid: int) -> HttpResponse:
    """Have a VM destroyed that belongs to no machine, or leave it alone for good. Its number is asked for first."""
    if not diagnoses.may_see(request.user):
        raise PermissionDenied
    found = get_object_or_404(Stray, pk=vmid)
    destroying = request.POST.get("do") == "destroy"
    if destroying and (wrong := mistyped(request, str(vmid))) is not None:
        context = {"stray": found, "mistyped": wrong}
        return show(request, "dashboard/stray.html", "card", context, status=422)
    try:
        if destroying:
            strays.destroy(found, by=request.user)
            messages.success(request, f"VM {vmid} is being destroyed.")
        else:
            strays.ignore(found, by=request.user)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("dashboard:settings")
