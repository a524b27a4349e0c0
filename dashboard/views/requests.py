"""Ask for more and decide upon it; offer and accept transfers between projects."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from budgets import quantities, transfers
from budgets import requests as actions
from budgets.models import BudgetRequest, Transfer
from dashboard import requests
from dashboard.pages import PageRequest, page, show
from projects import actions as projects
from projects.errors import NotThere, Refusal
from projects.models import Project
from projects.permissions import require
from projects.roles import Right

ASK, TRANSFER = "dashboard/budget/ask.html", "dashboard/budget/transfer.html"


@require_http_methods(["GET", "HEAD", "POST"])
@page
def ask(request: PageRequest, slug: str) -> HttpResponse:
    """Ask the owners to raise a limit."""
    project = projects.find(slug, user=request.user)
    require(request.user, Right.SPAWN, project)
    form = requests.AskForm(request.POST or None)
    refusal: Refusal | None = None
    if request.method == "POST" and form.is_valid():
        try:
            _ask(request, project, form)
            messages.success(request, "The owners were asked.")
            return redirect(_home(project))
        except Refusal as error:
            refusal = error
    context = {"askable": requests.askable(project)}
    return _form(request, ASK, form, project, refusal, context)


def _ask(request: PageRequest, project: Project, form: requests.AskForm) -> None:
    chosen = {budget.pk: budget for budget, _ in requests.askable(project)}.get(form.cleaned_data["budget"])
    if chosen is None:
        raise NotThere("This limit has been lifted.")
    more = form.amount_of(chosen.resource)
    actions.ask_for(chosen, more, by=request.user, reason=form.cleaned_data["note"])


@require_POST
@page
def decide(request: PageRequest, request_id: int) -> HttpResponse:
    """Grant or deny, for owners; take back, for whoever asked."""
    found = BudgetRequest.objects.select_related("budget__project", "project").filter(pk=request_id).first()
    if found is None or not request.user.has_perm("projects.view_project", found.project):
        raise NotThere("There is no such request that you may see.")
    do = request.POST.get("do", "")
    if not (do == "withdraw" and found.asked_by_id == request.user.pk):
        require(request.user, "manage_budgets", found.project)
    if do not in _DECIDE:
        return HttpResponseBadRequest("A request is granted, denied or withdrawn.")
    try:
        messages.success(request, _DECIDE[do](request, found))
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect(_home(found.project))


def _grant(request: PageRequest, found: BudgetRequest) -> str:
    typed = request.POST.get("amount", "")
    more = quantities.parse(typed, found.budget.resource) if typed else None
    shown = request.POST.get("shown", "")
    actions.grant(found, by=request.user, amount=more, shown=int(shown) if shown.isdecimal() else None)
    return f"The limit of {found.budget.scope} was raised. Machines that waited for it go on within a minute."


def _deny(request: PageRequest, found: BudgetRequest) -> str:
    actions.deny(found, by=request.user)
    return "The request is denied."


def _withdraw(request: PageRequest, found: BudgetRequest) -> str:
    actions.withdraw(found, by=request.user)
    return "The request is withdrawn."


# What the buttons ask for. Nothing else is taken for one of them: what is denied or declined stays so.
_DECIDE = {"grant": _grant, "deny": _deny, "withdraw": _withdraw}
_SETTLE = {"accept": transfers.accept, "decline": transfers.decline, "withdraw": transfers.withdraw}


@require_http_methods(["GET", "HEAD", "POST"])
@page
def transfer(request: PageRequest, slug: str) -> HttpResponse:
    """Offer part of a limit to another project, or ask for part of its. Its owner has to agree."""
    project = projects.find(slug, user=request.user)
    require(request.user, "manage_budgets", project)
    form = requests.TransferForm(request.POST or None)
    refusal: Refusal | None = None
    if request.method == "POST" and form.is_valid():
        try:
            messages.success(request, _propose(request, project, form.cleaned_data, form))
            return redirect(_home(project))
        except Refusal as error:
            refusal = error
    return _form(
        request, TRANSFER, form, project, refusal, {"others": requests.others(project, request.user)}
    )


def _propose(
    request: PageRequest, project: Project, asked: dict[str, Any], form: requests.TransferForm
) -> str:
    other = projects.find(asked["other"], user=request.user)
    giver, taker = (project, other) if asked["direction"] == "give" else (other, project)
    made = transfers.propose(
        giver,
        taker,
        asked["resource_name"],
        form.amount_of(asked["resource_name"]),
        by=request.user,
        period=asked["period_name"],
        note=asked["note"],
    )
    if made.state == Transfer.State.MADE:
        return f"It is transferred from {giver.slug} to {taker.slug}: you own both."
    return f"An owner of {other.slug} has to agree."


@require_POST
@page
def settle_transfer(request: PageRequest, transfer_id: int) -> HttpResponse:
    """Accept or decline, for owners of the other side; withdraw, for owners of the side that proposed it."""
    found = Transfer.objects.select_related("giver", "taker").filter(pk=transfer_id).first()
    sides = [found.giver, found.taker] if found else []
    seen = [side for side in sides if request.user.has_perm("projects.view_project", side)]
    if found is None or not seen:
        raise NotThere("There is no such transfer that you may see.")
    verb = _SETTLE.get(request.POST.get("do", ""))
    if verb is None:
        return HttpResponseBadRequest("A transfer is accepted, declined or withdrawn.")
    try:
        verb(found, by=request.user)
        messages.success(request, f"The transfer is {found.get_state_display().lower()}.")
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect(_home(seen[0]))


def _home(project: Project) -> str:
    return f"{reverse('dashboard:budget', args=[project.slug])}#requests"


def _form(
    request: PageRequest,
    template: str,
    form: requests.AmountForm,
    project: Project,
    refusal: Refusal | None,
    more: dict[str, Any],
) -> HttpResponse:
    wrong = requests.shown(refusal, form)
    context = {"form": form, "project": project, "wrong": wrong, "home": _home(project), **more}
    return show(request, template, "card", context, status=422 if wrong else 200)
