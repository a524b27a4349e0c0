"""A project's rules for its checkpoints, and having deleted what they do not keep."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from checkpoints.keeping import pruning, retention
from dashboard import rules
from dashboard.pages import PageRequest, mistyped, page, show
from machines.keeping import policies, stored
from machines.keeping import pruning as machines
from projects import actions as projects
from projects.errors import Refusal
from projects.models import Project
from projects.permissions import require

PAGE = "dashboard/rules.html"


@require_safe
@page
def detail(request: PageRequest, slug: str) -> HttpResponse:
    """`?machines` lists what the machines store, which takes longer to reckon."""
    found = projects.find(slug, user=request.user)
    context = rules.preview_of(found)
    if "machines" in request.GET:
        context["by_machine"] = stored.by_machine(found)
    return _page(request, found, context)


@require_POST
@page
def policy(request: PageRequest, slug: str) -> HttpResponse:
    """When checkpoints are taken from now on."""
    found = _managed(request, slug)
    form = rules.PolicyForm(request.POST)
    if not form.is_valid():
        return _page(request, found, {"policy_form": form, **rules.preview_of(found)}, status=422)
    try:
        policies.set_departures(found, form.said, by=request.user)
    except Refusal as refusal:
        context = {"policy_form": form, "policy_refusal": refusal, **rules.preview_of(found)}
        return _page(request, found, context, status=refusal.status)
    messages.success(request, f"Checkpoints of {slug} are taken by these rules from now on.")
    return redirect("dashboard:rules", slug)


@require_POST
@page
def keeping(request: PageRequest, slug: str) -> HttpResponse:
    """How long they are kept; `preview` shows what that would do, and sets nothing."""
    found = _managed(request, slug)
    form = rules.RetentionForm(request.POST)
    if not form.is_valid():
        return _page(request, found, {"retention_form": form, **rules.preview_of(found)}, status=422)
    try:
        if "preview" in request.POST:
            asked = machines.preview(found, retention.parse(form.said, pruning.defaults()))
            return _page(request, found, {"retention_form": form, "trying": True, **rules.fates(asked)})
        pruning.set_rules(found, form.said, by=request.user)
    except Refusal as refusal:
        context = {"retention_form": form, "retention_refusal": refusal, **rules.preview_of(found)}
        return _page(request, found, context, status=refusal.status)
    messages.success(request, f"Checkpoints of {slug} are kept by these rules from now on.")
    return redirect("dashboard:rules", slug)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def prune(request: PageRequest, slug: str) -> HttpResponse:
    """GET says what goes, POST has it deleted."""
    found = _managed(request, slug)
    wrong = mistyped(request, slug)
    if request.method != "POST" or wrong is not None:
        context = {"project": found, "mistyped": wrong, **rules.preview_of(found)}
        return show(
            request, "dashboard/prune.html", "card", context, 422 if request.method == "POST" else 200
        )
    gone = machines.prune(found, by=request.user)
    word = "checkpoint is" if gone == 1 else "checkpoints are"
    messages.success(request, f"{gone} {word} being deleted." if gone else "There was nothing to delete.")
    return redirect("dashboard:rules", slug)


def _managed(request: PageRequest, slug: str) -> Project:
    found = projects.find(slug, user=request.user)
    require(request.user, "manage_project", found)
    return found


def _page(request: PageRequest, found: Project, more: dict[str, Any], *, status: int = 200) -> HttpResponse:
    context = {**rules.view(found, request.user), **more}
    return show(request, PAGE, "rules", context, status=status)
