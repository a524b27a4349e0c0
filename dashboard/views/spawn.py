"""New machines: from a project's beginning, or from any checkpoint."""

from collections.abc import Iterable
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from dashboard import copying, expected, forms, once, spawning, suggesting
from dashboard.pages import PageRequest, page
from machines import actions
from projects import actions as projects
from projects.errors import NotThere, Refusal
from projects.models import Project
from projects.permissions import require
from projects.roles import Right

BLANK_ROW = {"path": "", "content": ""}


@require_http_methods(["GET", "HEAD", "POST"])
@page
def spawn(request: PageRequest) -> HttpResponse:
    """A machine from a project's genesis, or from the checkpoint that is named."""
    offered = list(Project.objects.permitted(request.user, Right.SPAWN))
    if request.method != "POST":
        return _form(request, forms.SpawnForm(initial=_initial(request, offered)), offered=offered)
    if "add_file" in request.POST:
        return _form(request, forms.SpawnForm(initial=request.POST.dict()), offered=offered)
    form = forms.SpawnForm(request.POST)
    if not form.is_valid():
        return _form(request, form, offered=offered, status=422)
    project = projects.find(form.cleaned_data["project"], user=request.user)
    require(request.user, Right.SPAWN, project)
    named = form.cleaned_data["checkpoint"].strip()
    try:
        source = checkpoints.find(named, user=request.user) if named else checkpoints.genesis_of(project)
        return _spawned(request, form, project, source)
    except NotThere as error:  # a field of the form is wrong, not the address
        form.add_error("checkpoint", str(error))
        return _form(request, form, offered=offered, status=422)
    except Refusal as refusal:
        return _form(request, form, offered=offered, refusal=refusal)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def branch(request: PageRequest, handle: str) -> HttpResponse:
    """A machine whose files and conversation are exactly those of the checkpoint."""
    source = checkpoints.find(handle, user=request.user)
    require(request.user, Right.SPAWN, source.project)
    if request.method != "POST":
        parent = actions.machine_of(source)
        kind = parent.type if parent else ""
        form = forms.PromptForm(initial=_initial(request, [source.project], type=kind))
        return _form(request, form, source=source)
    if "add_file" in request.POST:
        return _form(request, forms.PromptForm(initial=request.POST.dict()), source=source)
    form = forms.PromptForm(request.POST)
    if not form.is_valid():
        return _form(request, form, source=source, status=422)
    try:
        return _spawned(request, form, source.project, source)
    except Refusal as refusal:
        return _form(request, form, source=source, refusal=refusal)


@once.changes_nothing
@require_POST
@page
def prediction(request: PageRequest) -> HttpResponse:
    """What the form, as it is now, will probably cost. A POST, because prompts are long; it changes nothing."""
    project = projects.find(request.POST.get("project", ""), user=request.user)
    require(request.user, Right.SPAWN, project)
    context = expected.of_form(
        project,
        request.user,
        type_name=request.POST.get("type", ""),
        prompt=request.POST.get("prompt", ""),
    )
    source = _branched_from(request)
    context |= {"copies": copying.of_form(request, request.POST, source), "anew": True}
    if not source:
        context["suggestion"] = suggesting.suggest([project], request.POST.get("prompt", ""))
    return render(request, "parts/expected.html", context)


@require_safe
@page
def beginnings(request: PageRequest) -> HttpResponse:
    """The checkpoints of `?project=` that a machine can begin at and that `?checkpoint=` finds."""
    project = projects.find(request.GET.get("project", ""), user=request.user)
    require(request.user, Right.SPAWN, project)
    typed = request.GET.get("checkpoint", "").strip()
    return render(request, "parts/beginnings.html", {"found": spawning.checkpoints([project], typed)})


def _branched_from(request: PageRequest) -> Checkpoint | None:
    handle = request.POST.get("source", "")
    return checkpoints.find(handle, user=request.user) if handle else None


def _spawned(
    request: PageRequest, form: forms.PromptForm, project: Project, source: Checkpoint
) -> HttpResponse:
    machine = actions.spawn(
        project=project,
        source=source,
        by=request.user,
        modifications=forms.modifications(request),
        **form.asked,
    )
    return redirect("dashboard:machine", machine.handle)


def _initial(request: PageRequest, offered: Iterable[Project], *, type: str = "") -> dict[str, Any]:
    """What the address asks for: `?project=`, `?type=`, `?prompt=` and `?checkpoint=` fill the form.

    `?like=` is a machine whose own they are else.
    """
    asked = _like(request) | request.GET.dict()
    slugs = [project.slug for project in offered]
    slug = asked.get("project", "")
    return {
        **{name: asked.get(name, "") for name in ("prompt", "checkpoint")},
        "op": forms.fresh_op(),
        "project": slug if slug in slugs else next(iter(slugs), ""),
        "type": spawning.preferred(asked.get("type", type), offered),
    }


def _like(request: PageRequest) -> dict[str, str]:
    handle = request.GET.get("like", "")
    if not handle:
        return {}
    machine = actions.find(handle, user=request.user)
    return {
        "project": machine.project.slug,
        "type": machine.type,
        "prompt": machine.prompt,
        "checkpoint": machine.source.handle,
    }


def _form(
    request: PageRequest,
    form: forms.PromptForm,
    *,
    source: Checkpoint | None = None,
    offered: Iterable[Project] = (),
    refusal: Refusal | None = None,
    status: int = 200,
) -> HttpResponse:
    """The form with everything that was typed; files chosen for upload have to be chosen again."""
    projects_offered = [source.project] if source else list(offered)
    rows = forms.text_files(request)
    if "add_file" in request.POST:
        rows.append(BLANK_ROW)
        once.was_not_done(request)
    filled = {name: form[name].value() for name in form.fields}
    context = {
        "form": form,
        "copies": copying.of_form(request, filled, source),
        "rows": rows,
        "refusal": refusal,
        "uploads_lost": bool(request.FILES),
        **spawning.context(projects_offered, source, str(filled["prompt"] or "")),
    }
    return render(request, "dashboard/spawn.html", context, status=refusal.status if refusal else status)
