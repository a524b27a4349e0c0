"""One checkpoint: its page, how it compares with another, and what people say of it."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from checkpoints import actions, marks
from checkpoints.models import Checkpoint
from dashboard import checkpoint, comparison, copying, machine, trust
from dashboard import rights as projects
from dashboard.pages import PageRequest, page, show
from machines import actions as machines
from machines.models import Machine
from projects.errors import Refusal
from projects.permissions import operates_with, require_operating
from projects.roles import Right

MARKED = {
    "pinned": ("{} is not pinned any more.", "{} is pinned: it is kept whatever the retention says."),
    "name": ("{} has no name any more.", "{} has a name now."),
    "note": ("{} has no note any more.", "The note of {} is kept."),
}


@require_safe
@page
def detail(request: PageRequest, handle: str) -> HttpResponse:
    """`?path=` shows a file; `?to=` compares with that checkpoint instead of with its parent."""
    found = actions.find(handle, user=request.user)
    path = request.GET.get("path", "")
    origin = machines.machine_of(found)
    rights = projects.of(found.project, request.user)
    operable = operates_with(rights, request.user, found)
    context = {
        "checkpoint": found,
        "machine": origin,
        "operable": operable,
        "spawns": Right.SPAWN in rights,
        "returnable": operable
        and origin
        and "rollback" in origin.verbs
        and machine.can_return(origin, found),
        "branching": found.branching,
        "branches": Machine.objects.filter(source=found).order_by("number"),
        "tips": comparison.tips(found),
        "listing": checkpoint.listing(found),
        "shown": checkpoint.shown(found, path) if path else None,
        **trust.view(found, origin),
        **_changes(request, found),
    }
    may = {name: bool(context[name]) for name in ("operable", "spawns", "returnable")}
    context["copies"] = copying.of_checkpoint(request, found, **may)
    return show(request, "dashboard/checkpoint.html", "checkpoint", context)


def _changes(request: PageRequest, found: Checkpoint) -> dict[str, Any]:
    before, after = (found.parent, found)
    if asked := request.GET.get("to"):
        before, after = found, actions.find(asked, user=request.user)
    context = {"before": before, "after": after}
    return context | (checkpoint.differences(before, after) if before else {})


@require_safe
@page
def compare(request: PageRequest, handle: str) -> HttpResponse:
    """`?with=` is the other one; `?after=` a path, where the next page of files begins."""
    here = actions.find(handle, user=request.user)
    there = actions.find(request.GET.get("with", "").strip(), user=request.user)
    context = comparison.view(here, there, request.GET.get("after", ""))
    return show(request, "dashboard/compare.html", "comparison", context)


@require_POST
@page
def mark(request: PageRequest, handle: str) -> HttpResponse:
    """Set the marks that are sent. A script is answered with nothing, or why not."""
    found = actions.find(handle, user=request.user)
    require_operating(request.user, found)
    asked: dict[str, Any] = {name: request.POST[name] for name in ("name", "note") if name in request.POST}
    if "pinned" in request.POST:
        asked["pinned"] = request.POST["pinned"] == "1"
    before = {name: getattr(found, name) for name in asked}
    try:
        marks.mark(found, by=request.user, **asked)
    except Refusal as refusal:
        if request.htmx:
            return HttpResponse(str(refusal), status=refusal.status, content_type="text/plain; charset=utf-8")
        messages.error(request, str(refusal))
        return redirect("dashboard:checkpoint", found.handle)
    if request.htmx:
        return HttpResponse(status=204)
    _say(request, found, before)
    return redirect("dashboard:checkpoint", found.handle)


def _say(request: HttpRequest, found: Checkpoint, before: dict[str, Any]) -> None:
    """What has changed, and how to take it back: `look.undo` reads that."""
    changed = {name: value for name, value in before.items() if getattr(found, name) != value}
    sentences = [MARKED[name][bool(getattr(found, name))].format(found.handle) for name in changed]
    if not sentences:
        messages.info(request, f"{found.handle} is as it was.")
        return
    earlier = {name: int(value) if name == "pinned" else value for name, value in changed.items()}
    messages.success(request, " ".join(sentences), extra_tags=f"{found.handle}?{urlencode(earlier)}")
