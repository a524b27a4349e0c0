"""One's API tokens: made, renewed, ended. Keys are shown by the answer that makes them, and never again."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from dashboard import tokens as page_of
from dashboard.pages import PageRequest, confirm, page, show
from projects import actions as projects
from projects import tokens
from projects.errors import Refusal
from projects.models import ApiToken

PAGE = "dashboard/tokens.html"
GRACE_MINUTES = 60


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@page
def index(request: PageRequest) -> HttpResponse:
    """GET lists them, POST makes one; this answer is the only one that shows the key, so nothing is redirected."""
    if request.method != "POST":
        return _page(request)
    confirm(request)
    form = page_of.TokenForm(request.POST)
    if not form.is_valid():
        return _page(request, {"form": form}, status=422)
    said = form.cleaned_data
    try:
        project = projects.find(said["project"], user=request.user) if said["project"] else None
        made, key = tokens.mint(
            name=said["name"], scopes=said["scopes"], project=project, days=said["days"], by=request.user
        )
    except Refusal as refusal:
        return _page(request, {"form": form, "refusal": refusal}, status=refusal.status)
    return _made(request, made, key)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@page
def rotate(request: PageRequest, number: int) -> HttpResponse:
    """GET asks when the old key should die, POST shows the new one."""
    token = tokens.find(number, by=request.user)
    if request.method != "POST":
        context = {"token": token, "rotating": True, "grace_minutes": GRACE_MINUTES}
        return show(request, "dashboard/token.html", "card", context)
    confirm(request)
    grace = GRACE_MINUTES if request.POST.get("grace") else 0
    try:
        made, key = tokens.rotate(token, grace_minutes=grace, by=request.user)
    except Refusal as refusal:
        return _page(request, {"refusal": refusal}, status=refusal.status)
    return _made(request, made, key)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def revoke(request: PageRequest, number: int) -> HttpResponse:
    """GET asks, POST ends it."""
    token = tokens.find(number, by=request.user)
    if request.method != "POST":
        return show(request, "dashboard/token.html", "card", {"token": token})
    tokens.revoke(token, by=request.user)
    messages.success(request, f"{token.name} has ended: its key is refused. A new one is made below.")
    return redirect("dashboard:tokens")


def _made(request: PageRequest, made: ApiToken, key: str) -> HttpResponse:
    address = f"{request.scheme}://{request.get_host()}"
    return _page(request, {"made": made, "key": key, "address": address})


def _page(request: PageRequest, more: dict[str, Any] | None = None, *, status: int = 200) -> HttpResponse:
    context = {**page_of.view(request.user, dead="ended" in request.GET), **(more or {})}
    return show(request, PAGE, "tokens", context, status=status)
