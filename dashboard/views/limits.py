"""Limits: set a new one, change one, raise it in one click, lift it. Each but the click asks in a dialog first."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from budgets import actions, quantities, sentences
from budgets.models import Budget, Window
from dashboard import limits
from dashboard.pages import PageRequest, page, show
from projects import actions as projects
from projects.errors import Conflict, NotThere, Refusal
from projects.models import Project
from projects.permissions import require

FORM, LIFT = "dashboard/budget/limit.html", "dashboard/budget/lift.html"


@require_http_methods(["GET", "HEAD", "POST"])
@page
def new(request: PageRequest) -> HttpResponse:
    """`?project=`: a limit of that project, of a member or machine of it; without, of the whole system."""
    project = _project(request, request.GET.get("project", ""))
    if request.method != "POST":
        asked = {name: request.GET[name] for name in ("machine", "holder") if name in request.GET}
        return _form(request, limits.NewForm(initial=limits.fresh() | asked), project)
    form = limits.NewForm(request.POST)
    if not form.is_valid():
        return _form(request, form, project, status=422)
    try:
        budget = actions.change_limit(
            limits.holder(project, form, request.user),
            form.cleaned_data["resource_name"],
            form.cleaned_data["amount"],
            by=request.user,
            period=form.cleaned_data["period_name"],
            **form.options,
        )
    except Refusal as refusal:
        return _form(request, form, project, refusal=refusal, status=refusal.status)
    return _done(request, budget)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def change(request: PageRequest, budget_id: int) -> HttpResponse:
    """The amount, and how the limit works."""
    budget = _managed(request, budget_id)
    kind: dict[str, str] = {"resource": budget.resource, "period": budget.period}
    if request.method != "POST":
        form = limits.ChangeForm(initial=limits.present(budget), **kind)
        return _form(request, form, budget.project, budget=budget)
    form = limits.ChangeForm(request.POST, **kind)
    if not form.is_valid():
        return _form(request, form, budget.project, budget=budget, status=422)
    try:
        _set(request, budget, form.cleaned_data["amount"], **form.options)
    except Refusal as refusal:
        return _form(request, form, budget.project, budget=budget, refusal=refusal, status=refusal.status)
    return _done(request, budget)


@require_safe
@page
def preview(request: PageRequest, budget_id: int) -> HttpResponse:
    """What the `amount` that is being typed would mean."""
    budget = _managed(request, budget_id)
    window = Window.objects.open().select_related("budget__project").get(budget=budget)
    try:
        limit = quantities.parse(request.GET.get("amount", ""), budget.resource)
        seen = limits.preview(window, limit)
    except Refusal as refusal:
        seen = limits.Preview([str(refusal)], "neutral")
    return render(request, "dashboard/budget/preview.html", {"preview": seen})


@require_POST
@page
def raise_(request: PageRequest, budget_id: int) -> HttpResponse:
    """By half. A second click on a page that shows the old limit does nothing."""
    budget = _managed(request, budget_id)
    try:
        if request.POST.get("was") != str(budget.limit):
            raise Conflict(f"{budget.scope} has another limit by now; look at it first.")
        _set(request, budget, limits.raised(budget))
    except Refusal as refusal:
        messages.error(request, str(refusal))
        return redirect(_home(budget.project))
    return _done(request, budget)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def lift(request: PageRequest, budget_id: int) -> HttpResponse:
    """GET says what follows, POST does it."""
    budget = _managed(request, budget_id)
    if request.method != "POST":
        context = {"budget": budget, "sentences": limits.lifted(budget), "home": _home(budget.project)}
        return show(request, LIFT, "card", context)
    try:
        actions.remove_limit(budget, by=request.user)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, f"{budget.scope} has one limit less.")
    return redirect(_home(budget.project))


def _set(request: PageRequest, budget: Budget, limit: int, **options: Any) -> None:
    if budget.pooled:
        raise Conflict("This limit is a share of a pool and is dealt out anew; change the pool instead.")
    holder = limits.holder_of_budget(budget)
    actions.change_limit(holder, budget.resource, limit, by=request.user, period=budget.period, **options)


def _done(request: PageRequest, budget: Budget) -> HttpResponse:
    budget.refresh_from_db()
    amount = sentences.amount(budget.limit, budget.resource, budget.currency)
    messages.success(request, f"The limit of {budget.scope} is {amount} now.")
    return redirect(_home(budget.project))


def _home(project: Project | None) -> str:
    return reverse("dashboard:budget", args=[project.slug]) if project else reverse("dashboard:budgets")


def _managed(request: PageRequest, budget_id: int) -> Budget:
    """The standing limit of that id, if the user may change it."""
    budget = Budget.objects.standing().select_related("project").filter(pk=budget_id).first()
    if budget is None or not _is_visible(request, budget.project):
        raise NotThere(f"There is no limit {budget_id} that you may see.")
    if budget.project:
        require(request.user, "manage_budgets", budget.project)
    return budget


def _is_visible(request: PageRequest, project: Project | None) -> bool:
    return request.user.has_perm("projects.view_project", project) if project else request.user.administers


def _project(request: PageRequest, slug: str) -> Project | None:
    if not slug:
        if not request.user.administers:
            raise PermissionDenied
        return None
    project = projects.find(slug, user=request.user)
    require(request.user, "manage_budgets", project)
    return project


def _form(
    request: PageRequest,
    form: limits.ChangeForm,
    project: Project | None,
    *,
    budget: Budget | None = None,
    refusal: Refusal | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {
        "form": form,
        "project": project,
        "budget": budget,
        "members": projects.members(project) if project and not budget else [],
        "hint": quantities.HINTS.get(budget.resource, "A whole number") if budget else "",
        "home": _home(project),
        "refusal": refusal,
    }
    return show(request, FORM, "card", context, status=status)
