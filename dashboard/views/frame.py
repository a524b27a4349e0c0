"""What belongs to every page and to none: the palette, the counts in the bar, and the styleguide."""

from pathlib import Path

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard import palette as finding
from dashboard.pages import PageRequest, page, show
from projects.permissions import require_administration

STYLEGUIDE = Path(settings.BASE_DIR, "templates", "styleguide")
TONES = ("neutral", "info", "ok", "snap", "warn", "bad", "accent")


@require_safe
@page
def palette(request: PageRequest) -> HttpResponse:
    """What is found for `q`: as a page, or as the list of the dialog."""
    typed = request.GET.get("q", "")
    context = {"typed": typed, "found": finding.search(request.user, typed)}
    return show(request, "dashboard/palette.html", "found", context)


@require_safe
@page
def counts(request: PageRequest) -> HttpResponse:
    """How much waits for this person, and is under way; the bar of an open page asks again and again."""
    return render(request, "parts/counts.html")


@require_safe
@page
def styleguide(request: PageRequest) -> HttpResponse:
    """Every component in every tone, for those who build pages."""
    require_administration(request.user)
    files = sorted(STYLEGUIDE.glob("*.html"))
    sections = [(path.stem.replace("_", " ").capitalize(), f"styleguide/{path.name}") for path in files]
    context = {"sections": sections, "tones": TONES, "themes": ("light", "dark")}
    return render(request, "dashboard/styleguide.html", context)
