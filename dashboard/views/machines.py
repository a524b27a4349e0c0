"""One machine: its page, its log, and the verbs that may be asked of it."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from dashboard import consequences, copying, logs, machine, scrubber
from dashboard.pages import PageRequest, page, show
from machines import actions
from machines.models import Machine
from operations import actions as operations
from projects.errors import Refusal
from projects.permissions import require_operating

ASK: dict[str, Callable[..., object]] = {
    "pause": actions.pause,
    "resume": actions.resume,
    "terminate": actions.terminate,
}


@require_safe
@page
def detail(request: PageRequest, handle: str) -> HttpResponse:
    """`?at=` is the number of a checkpoint: the machine as it was then."""
    return shown(request, actions.find(handle, user=request.user))


def shown(request: PageRequest, found: Machine, *, draft: str = "", status: int = 200) -> HttpResponse:
    """Its page; `draft` is something that its agent could not be told."""
    context = _context(request, found) | {"draft": draft}
    if draft:
        context["here"] = reverse("dashboard:machine", args=[found.handle])
    if not request.htmx and not context["scrubber_past"]:
        lines = logs.latest(found)
        context |= {"log": logs.chunks(lines), "log_last": lines[-1].pk if lines else 0}
    return show(request, "dashboard/machine.html", "machine", context, status)


@require_safe
@page
def moment(request: PageRequest, handle: str) -> HttpResponse:
    """What the scrubber fetches while it is moved; at its right end, the live page."""
    found = actions.find(handle, user=request.user)
    context = _context(request, found)
    if not context["scrubber_past"]:
        if request.htmx:
            return HttpResponseClientRedirect(reverse("dashboard:machine", args=[found.handle]))
        return redirect("dashboard:machine", found.handle)
    return show(request, "dashboard/machine.html", "whole", context)


def _context(request: PageRequest, found: Machine) -> dict[str, Any]:
    scrubbing = scrubber.of(found, request.GET.get("at", ""))
    shown = scrubbing.shown if scrubbing else None
    here = reverse("dashboard:machine", args=[found.handle])
    context = machine.view(found, request.user, every_checkpoint="every" in request.GET)
    context |= {
        "scrubber": scrubbing,
        "scrubber_past": shown,
        "here": f"{here}?at={shown.number}" if shown else "",
        "copies": [] if shown else copying.of_machine(request, found, context["verbs"]),
    }
    return context | (scrubber.past(found, shown) if shown else {})


@require_safe
@page
def log_lines(request: PageRequest, handle: str) -> JsonResponse:
    """Lines after `?after=`, for the page's script."""
    found = actions.find(handle, user=request.user)
    last = request.GET.get("after", "0")
    return JsonResponse(logs.after(found, int(last) if last.isdecimal() and len(last) < 19 else 0))


@require_safe
@page
def log_file(request: PageRequest, handle: str) -> StreamingHttpResponse:
    """The whole log as a text file."""
    found = actions.find(handle, user=request.user)
    response = StreamingHttpResponse(
        logs.text(found.log.order_by("id").aiterator()), content_type="text/plain; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{found.handle}.log"'
    return response


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


@require_POST
@page
def give_up(request: PageRequest, operation_id: UUID) -> HttpResponse:
    """Do not wait for an operator any longer: the operation fails, as its plan has it."""
    operation = operations.find(operation_id, user=request.user)
    require_operating(request.user, operation)
    try:
        operations.give_up(operation, by=request.user)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    machine_id = operation.subject.partition(":")[2]
    return redirect("dashboard:machine", actions.find(machine_id, user=request.user).handle)


def _target(request: PageRequest, found: Machine) -> Checkpoint:
    asked = request.POST.get("to") or request.GET.get("to") or ""
    target = checkpoints.find(asked, user=request.user)
    if target.origin != found.subject:
        raise Http404(f"{target.handle} is not a checkpoint of {found.handle}.")
    return target
