"""In the Django admin: model calls, to be read, and upstreams with their keys."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from events.admin import ReadOnly
from gateway.models import Call, Upstream, UpstreamKey
from gateway.upstreams import actions as upstreams
from projects.errors import Invalid


@admin.register(Call)
class CallAdmin(ReadOnly):
    list_display = [
        "machine",
        "number",
        "model",
        "upstream",
        "state",
        "cost_micros",
        "started_at",
        "duration_ms",
        "stall_ms",
    ]
    list_filter = ["state", "model", "upstream", "offline"]


class KeyForm(forms.ModelForm[UpstreamKey]):
    """The secret can be written, and is never shown."""

    secret = forms.CharField(
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Left empty, it stays as it is.",
    )

    class Meta:
        model = UpstreamKey
        fields = ["label", "weight", "requests_per_minute", "tokens_per_minute", "enabled"]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        try:
            upstreams.put_secret(self.instance, cleaned.get("secret") or "")
        except Invalid as error:
            raise forms.ValidationError({"secret": str(error)}) from None
        return cleaned


class KeyInline(admin.TabularInline[UpstreamKey, Upstream]):
    model = UpstreamKey
    form = KeyForm
    extra = 0
    fields = [*KeyForm.Meta.fields, "secret", "refused_at", "last_error"]
    readonly_fields = ["refused_at", "last_error"]


@admin.register(Upstream)
class UpstreamAdmin(admin.ModelAdmin[Upstream]):
    list_display = ["name", "base_url", "dialects", "model_patterns", "priority", "weight", "free", "enabled"]
    inlines = [KeyInline]

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        kind = "upstream.changed" if change else "upstream.added"
        upstreams.told(kind, form.instance, by=request.user.get_username())

    def delete_model(self, request: HttpRequest, obj: Upstream) -> None:
        upstreams.remove(obj, by=request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Upstream]) -> None:
        for upstream in queryset:
            self.delete_model(request, upstream)
