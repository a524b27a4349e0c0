"""One machine: its page, and the verbs that may be asked of it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe
from django_htmx.http import HttpResponseClientRedirect

from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from dashboard import consequences, copying, logs, scrubber, series, tabs
from dashboard.pages import PageRequest, page, show
from machines import actions
from machines.models import Machine
from projects.errors import Refusal
from projects.permissions import require_operating

ASK: dict[str, Callable[..., object]] = {
    "pause": actions.pause,
    "resume": actions.resume,
    "terminate": partial(actions.terminate_soon, grace_seconds=consequences.GRACE_SECONDS),
}


@require_safe
@page
def detail(request: PageRequest, handle: str) -> HttpResponse:
    """`?at=` is the number of a checkpoint: the machine as it was then. `?since=` is a time: the log from there on."""
    found = actions.find(handle, user=request.user)
    if "since" in request.GET and (line := logs.since(found, request.GET["since"])):
        address = reverse("dashboard:machine", args=[found.handle])
        return redirect(f"{address}?line={line.pk}#L{line.pk}")
    return shown(request, found)


def shown(request: PageRequest, found: Machine, *, draft: str = "", status: int = 200) -> HttpResponse:
    """Its page; `draft` is something that its agent could not be told."""
    context = _context(request, found) | {"draft": draft}
    if draft:
        context["here"] = reverse("dashboard:machine", args=[found.handle])
    return show(request, "dashboard/machine.html", "machine", context, status)


@require_safe
@page
def charts(request: PageRequest, handle: str) -> JsonResponse:
    """What its guest used, and its tokens, for the page's script; `?span=run` for the whole of it."""
    found = actions.find(handle, user=request.user)
    return JsonResponse(series.of(found, run=request.GET.get("span") == "run").as_json())


@require_safe
@page
def moment(request: PageRequest, handle: str) -> HttpResponse:
    """What the scrubber fetches while it is moved; at its right end, the live page."""
    found = actions.find(handle, user=request.user)
    context = _context(request, found)
    if not context["scrubber_past"]:
        live = f"{context['address']}?tab={context['tab']}" if context["tab"] != "now" else context["address"]
        return HttpResponseClientRedirect(live) if request.htmx else redirect(live)
    return show(request, "dashboard/machine.html", "whole", context)


def _context(request: PageRequest, found: Machine) -> dict[str, Any]:
    scrubbing = scrubber.of(found, request.GET.get("at", ""))
    past = scrubbing.shown if scrubbing else None
    address = reverse("dashboard:machine", args=[found.handle])
    tab = tabs.chosen(request.GET.get("tab", ""))
    asked = tabs.Asked(found, request.user, request.GET, scrubbing, whole=not request.htmx)
    context = tabs.context(tab, asked)
    view = "" if tab == "now" else f"tab={tab}&"
    return context | {
        "scrubber": scrubbing,
        "scrubber_past": past,
        "address": address,
        "at_query": f"&at={past.number}" if past else "",
        "here": f"{address}?{view}at={past.number}" if past else "",
        "copies": [] if past or tab != "now" else copying.of_machine(request, found, context["verbs"]),
    }


@require_http_methods(["GET", "HEAD", "POST"])
@page
def verb(request: PageRequest, handle: str, verb: str) -> HttpResponse:
    """Ask for a verb: GET says what it will do, POST does it."""
    found = actions.find(handle, user=request.user)
    require_operating(request.user, found)
    if request.method != "POST":
        card = consequences.of(verb, found)
        return show(request, "dashboard/confirm.html", "card", {"machine": found, "card": card})
    return _ask(request, found, verb)


def _ask(request: PageRequest, found: Machine, verb: str) -> HttpResponse:
    try:
        if verb == "checkpoint":
            why, ram = request.POST.get("why", "").strip(), "ram" in request.POST
            actions.checkpoint(found, by=request.user, why=why, ram=ram)
        else:
            ASK[verb](found, by=request.user)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, consequences.SAID[verb].format(handle=found.handle))
    return redirect("dashboard:machine", found.handle)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def rollback(request: PageRequest, handle: str) -> HttpResponse:
    """Return to one of the machine's checkpoints, `to`; GET says what that does."""
    found = actions.find(handle, user=request.user)
    require_operating(request.user, found)
    target = _target(request, found)
    if request.method != "POST":
        card = consequences.of_rollback(found, target)
        return show(request, "dashboard/confirm.html", "card", {"machine": found, "card": card})
    try:
        actions.rollback(found, target, by=request.user)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, f"{found.handle} is going back to {target.handle}.")
    return redirect("dashboard:machine", found.handle)


def _target(request: PageRequest, found: Machine) -> Checkpoint:
    asked = request.POST.get("to") or request.GET.get("to") or ""
    target = checkpoints.find(asked, user=request.user)
    if target.origin != found.subject:
        raise Http404(f"{target.handle} is not a checkpoint of {found.handle}.")
    return target
