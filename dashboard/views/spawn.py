"""New machines: from a project's beginning, or from any checkpoint."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from budgets.models import Window
from budgets.resources import Resource, of_project
from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from checkpoints.states import State
from dashboard import copying, expected, forms
from dashboard.pages import PageRequest, page
from machines import actions, types
from projects import actions as projects
from projects.errors import Conflict, NotThere, Refusal
from projects.models import Project
from projects.permissions import require
from projects.roles import Right

SUGGESTED_CHECKPOINTS = 30
BLANK_ROW = {"path": "", "content": ""}


@require_http_methods(["GET", "HEAD", "POST"])
@page
def spawn(request: PageRequest) -> HttpResponse:
    """A machine from a project's genesis, or from the checkpoint that is named."""
    offered = Project.objects.permitted(request.user, Right.SPAWN)
    if request.method != "POST":
        first = offered.filter(slug=request.GET.get("project", "")).first() or offered.first()
        return _form(request, forms.SpawnForm(initial=_initial(project=first)), offered=offered)
    if "add_file" in request.POST:
        return _form(request, forms.SpawnForm(initial=request.POST.dict()), offered=offered)
    form = forms.SpawnForm(request.POST)
    if not form.is_valid():
        return _form(request, form, offered=offered, status=422)
    project = projects.find(form.cleaned_data["project"], user=request.user)
    require(request.user, Right.SPAWN, project)
    try:
        source = _source(request, project, form.cleaned_data["checkpoint"])
        return _spawned(request, form, project, source)
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
        form = forms.PromptForm(initial=_initial(type=parent.type if parent else None))
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
    context |= {"copies": copying.of_form(request, request.POST, source), "copied_anew": True}
    return render(request, "parts/expected.html", context)


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


def _source(request: PageRequest, project: Project, reference: str) -> Checkpoint:
    """The checkpoint that was named, or the project's beginning. Raises `Conflict` for what is wrong with it."""
    if not reference:
        return checkpoints.genesis_of(project)
    try:
        return checkpoints.find(reference.strip(), user=request.user)
    except NotThere as error:  # a field of the form is wrong, not the address
        raise Conflict(str(error)) from None


def _initial(*, project: Project | None = None, type: str | None = None) -> dict[str, Any]:
    kinds = [kind.name for kind in types.all()]
    # vibe needs nothing in the template, so it is the one that works everywhere.
    preferred = type or ("vibe" if "vibe" in kinds else kinds[0])
    return {"op": forms.fresh_op(), "type": preferred, "project": project.slug if project else ""}


def _form(
    request: PageRequest,
    form: forms.PromptForm,
    *,
    source: Checkpoint | None = None,
    offered: Any = (),
    refusal: Refusal | None = None,
    status: int = 200,
) -> HttpResponse:
    """The form with everything that was typed; files chosen for upload have to be chosen again."""
    projects_offered = [source.project] if source else list(offered)
    rows = forms.text_files(request)
    if "add_file" in request.POST:
        rows.append(BLANK_ROW)
    parent = actions.machine_of(source) if source else None
    filled = {name: form[name].value() for name in form.fields}
    context = {
        "form": form,
        "copies": copying.of_form(request, filled, source),
        "source": source,
        "parent": parent,
        "goes_on": bool(parent and source and source.begun and _resumes(parent.type)),
        "types": types.all(),
        "projects": projects_offered,
        "purses": _purses(projects_offered),
        "suggestions": _suggestions(projects_offered) if not source else [],
        "rows": rows,
        "refusal": refusal,
        "uploads_lost": bool(request.FILES),
    }
    return render(request, "dashboard/spawn.html", context, status=refusal.status if refusal else status)


def _resumes(type_name: str) -> bool:
    """Whether an agent of that type can go on with a conversation."""
    try:
        return bool(types.get(type_name).resume_command)
    except types.UnknownType:
        return False


def _purses(offered: list[Project]) -> list[Window]:
    whole = Window.objects.of([of_project(one.id) for one in offered]).filter(resource=Resource.MONEY)
    return list(whole.select_related("budget__project").order_by("budget__project__slug", "pk"))


def _suggestions(offered: list[Project]) -> list[Checkpoint]:
    """Templates first: there are few, and everything begins at one."""
    usable = Checkpoint.objects.filter(project__in=offered, state=State.CAPTURED).only("handle", "why")
    begun = usable.exclude(kind=Checkpoint.Kind.GENESIS).order_by("-created_at")
    return [*usable.filter(kind=Checkpoint.Kind.GENESIS).order_by("handle"), *begun[:SUGGESTED_CHECKPOINTS]]
