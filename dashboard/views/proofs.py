"""What may be asked of a checkpoint: that it is proven, kept elsewhere too, or that a file of it is put back."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from checkpoints.states import Depth, Verdict
from dashboard import trust
from dashboard.pages import PageRequest, page, show
from machines import actions
from projects.errors import Refusal
from projects.permissions import require_operating


@require_http_methods(["GET", "HEAD", "POST"])
@page
def verify(request: PageRequest, handle: str) -> HttpResponse:
    """GET asks how deep, POST has it done."""
    found = _operable(request, handle)
    if request.method != "POST":
        return show(request, "dashboard/verify.html", "card", trust.verifying(found))
    depth = request.POST.get("depth", "")
    try:
        asked = actions.verify(
            found,
            Depth(depth) if depth in Depth.values else Depth.METADATA,
            by=request.user,
            of_backup=request.POST.get("of") == "backup",
        )
    except Refusal as refusal:
        messages.error(request, str(refusal))
    else:
        if asked.verdict == Verdict.ABANDONED:
            messages.warning(request, asked.sentence)
        else:
            messages.success(request, f"{handle} is being verified. What was found is told here.")
    return redirect("dashboard:checkpoint", found.handle)


@require_POST
@page
def export(request: PageRequest, handle: str) -> HttpResponse:
    """Have it written to the backup storage."""
    found = _operable(request, handle)
    try:
        actions.export(found, by=request.user)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, f"{handle} is being written to the backup storage.")
    return redirect("dashboard:checkpoint", found.handle)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def restore_file(request: PageRequest, handle: str) -> HttpResponse:
    """Put the file at `path` into a machine's workspace; GET asks which machine's."""
    found = _operable(request, handle)
    path = (request.POST or request.GET).get("path", "")
    if request.method != "POST":
        context = {"checkpoint": found, "path": path, "takers": trust.takers(found)}
        return show(request, "dashboard/restore_file.html", "card", context)
    machine = actions.find(request.POST.get("machine", ""), user=request.user)
    require_operating(request.user, machine)
    try:
        actions.restore_file(machine, found, path, by=request.user)
    except Refusal as refusal:
        messages.error(request, str(refusal))
        return redirect("dashboard:checkpoint", found.handle)
    messages.success(request, f"{path} is being put back as it was in {found.handle}.")
    return redirect("dashboard:machine", machine.handle)


def _operable(request: PageRequest, handle: str) -> Checkpoint:
    found = checkpoints.find(handle, user=request.user)
    require_operating(request.user, found)
    return found
