"""Budgets: of everything, of one project, its ledger, and the price book."""

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from budgets import breaker
from dashboard import budget, ledger, pricebook, requests, rights, spending, whatif
from dashboard.pages import PageRequest, page, show
from machines.api.ledger import csv_of
from projects import actions as projects
from projects.errors import Refusal
from projects.models import Project
from projects.permissions import require


@require_safe
@page
def index(request: PageRequest) -> HttpResponse:
    return show(request, "dashboard/budget/index.html", "budgets", budget.overview(request.user))


@require_safe
@page
def project(request: PageRequest, slug: str) -> HttpResponse:
    """Limits and holds, and a chart of `?limit=`. What takes longer to reckon is `history`, and is asked for less."""
    found, held = rights.find(slug, request.user)
    context = budget.view(found, held, request.GET.get("limit", ""))
    context |= requests.view(found, held)
    if not request.htmx:
        context |= whatif.view(context["charted"], context["live"], request.GET.get("machines", ""))
        context |= _history(request, found)
    return show(request, "dashboard/budget/project.html", "limits", context)


@require_safe
@page
def what_if(request: PageRequest, slug: str) -> HttpResponse:
    """What becomes of `?limit=` with so many `?machines=`."""
    found = projects.find(slug, user=request.user)
    context = {"project": found, **whatif.of(found, request.GET)}
    return show(request, "dashboard/budget/what_if.html", "what_if", context)


@require_safe
@page
def history(request: PageRequest, slug: str) -> HttpResponse:
    """What was used in the last `?days=`, cut every way."""
    found = projects.find(slug, user=request.user)
    context = {"project": found, **_history(request, found)}
    return show(request, "dashboard/budget/history.html", "history", context)


@require_POST
@page
def close_breaker(request: PageRequest, slug: str) -> HttpResponse:
    """Let a project go on that was stopped for spending too fast."""
    found = projects.find(slug, user=request.user)
    require(request.user, "manage_budgets", found)
    try:
        breaker.close(found, by=request.user)
        messages.success(request, f"The circuit breaker of {found.slug} is closed; its machines go on.")
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("dashboard:budget", found.slug)


@require_safe
@page
def journal(request: PageRequest, slug: str) -> HttpResponse:
    found = projects.find(slug, user=request.user)
    context = ledger.view(found, request.user, request.GET)
    return show(request, "dashboard/budget/ledger.html", "ledger", context)


@require_safe
@page
def journal_file(request: PageRequest, slug: str) -> HttpResponseBase:
    """All entries that the filter finds, as CSV."""
    found = projects.find(slug, user=request.user)
    return csv_of(found, ledger.asked(request.GET, request.user).filter)


@require_safe
@page
def prices(request: PageRequest) -> HttpResponse:
    context = pricebook.view(request.user, request.GET.get("model", "").strip())
    return show(request, "dashboard/budget/prices.html", "prices", context)


def _history(request: PageRequest, found: Project) -> dict[str, object]:
    return spending.view(found, spending.span_of(request.GET.get("days", "")))
