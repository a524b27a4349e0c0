"""Wall screens: made, changed, renewed, revoked. An address is shown by the answer that makes it, and never again."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from dashboard import screens
from dashboard.models import Screen
from dashboard.pages import PageRequest, confirm, page, show
from dashboard.screen_form import ScreenForm, filled
from dashboard.views import wall
from projects.errors import Refusal

PAGE = "dashboard/screens/index.html"
ASK = "dashboard/screens/ask.html"
EDIT = "dashboard/screens/edit.html"


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@page
def index(request: PageRequest) -> HttpResponse:
    """GET lists them, POST makes one; this answer is the only one that shows the address: nothing is redirected."""
    if request.method != "POST":
        return _page(request)
    confirm(request)
    form = ScreenForm(request.user, request.POST)
    if not form.is_valid():
        return _page(request, {"form": form}, status=422)
    try:
        made, key = screens.make(form.wanted, by=request.user)
    except Refusal as refusal:
        return _page(request, {"form": form, "refusal": refusal}, status=refusal.status)
    return _made(request, made, key)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def edit(request: PageRequest, number: int) -> HttpResponse:
    """GET shows the form, POST changes the screen: it shows the change at once."""
    screen = screens.find(number, by=request.user)
    if request.method != "POST":
        return show(request, EDIT, "form", {"screen": screen, "form": filled(screen, request.user)})
    form = ScreenForm(request.user, request.POST)
    if not form.is_valid():
        return show(request, EDIT, "form", {"screen": screen, "form": form}, status=422)
    try:
        screens.change(screen, form.wanted, by=request.user)
    except Refusal as refusal:
        context = {"screen": screen, "form": form, "refusal": refusal}
        return show(request, EDIT, "form", context, status=refusal.status)
    messages.success(request, f"{screen.name} shows the change now.")
    return redirect("dashboard:screens")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@page
def rotate(request: PageRequest, number: int) -> HttpResponse:
    """GET asks, POST shows the new address."""
    screen = screens.find(number, by=request.user)
    if request.method != "POST":
        return show(request, ASK, "card", {"screen": screen, "rotating": True})
    confirm(request)
    try:
        return _made(request, screen, screens.rotate(screen, by=request.user))
    except Refusal as refusal:
        return _page(request, {"refusal": refusal}, status=refusal.status)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def revoke(request: PageRequest, number: int) -> HttpResponse:
    """GET asks, POST ends it."""
    screen = screens.find(number, by=request.user)
    if request.method != "POST":
        return show(request, ASK, "card", {"screen": screen})
    screens.revoke(screen, by=request.user)
    messages.success(request, f"{screen.name} is revoked: its address shows nothing any more.")
    return redirect("dashboard:screens")


@require_safe
@page
def preview(request: PageRequest, number: int) -> HttpResponse:
    """What the screen shows, without its address."""
    return wall.answer(request, screens.find(number, by=request.user))


def _made(request: PageRequest, made: Screen, key: str) -> HttpResponse:
    address = request.build_absolute_uri(reverse("dashboard:wall", args=[key]))
    return _page(request, {"made": made, "address": address})


def _page(request: PageRequest, more: dict[str, Any] | None = None, *, status: int = 200) -> HttpResponse:
    context: dict[str, Any] = {
        "screens": screens.managed(request.user),
        "form": ScreenForm(request.user),
        **(more or {}),
    }
    return show(request, PAGE, "screens", context, status=status)
