"""How one's own pages look and speak up."""

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from dashboard import preferences
from dashboard.models import Preferences
from dashboard.pages import PageRequest, page, show

THEMES = (
    ("auto", "Auto", "As the system has it"),
    ("light", "Light", "Ink on paper"),
    ("dark", "Dark", "For the night shift"),
)


class PreferencesForm(forms.ModelForm[Preferences]):
    """What somebody chooses."""

    class Meta:
        model = Preferences
        fields = ("zone", "density", "single_keys", "notifies", "sounds")

    def clean_zone(self) -> str:
        zone = str(self.cleaned_data["zone"])
        if zone and zone not in preferences.zones():
            raise forms.ValidationError(f"There is no time zone {zone}. Names look like Europe/Zurich.")
        return zone


@require_http_methods(["GET", "HEAD", "POST"])
@page
def index(request: PageRequest) -> HttpResponse:
    """GET shows what was chosen, POST changes it."""
    chosen = preferences.of(request)
    form = PreferencesForm(request.POST if request.method == "POST" else None, instance=chosen)
    if request.method == "POST" and form.is_valid():
        preferences.save(form.instance, request.user)
        messages.success(request, "Kept. It holds wherever you sign in; the theme is this browser's own.")
        return redirect("dashboard:appearance")
    context = {
        "form": form,
        "zones": sorted(preferences.zones()),
        "themes": THEMES,
        "now": timezone.now(),
    }
    status = 422 if form.errors else 200
    return show(request, "dashboard/appearance.html", "appearance", context, status=status)
