"""In the Django admin: model calls and what is recorded of them, to be read, and upstreams with their keys."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from gateway.models import Call, Recording, RecordingPolicy, Upstream, UpstreamKey
from gateway.upstreams import actions as upstreams
from machines.admin import OfMachines
from projects.errors import Invalid
from projects.permissions import acting
from projects.staff import Small, administers, of_project


@admin.register(Call)
class CallAdmin(OfMachines):
    list_display = [
        "machine", "number", "model", "upstream", "state", "cost_micros", "started_at", "duration_ms", "stall_ms",
    ]  # fmt: skip
    list_filter = [of_project("machine__project")]
    ordering = ["-started_at"]


@admin.register(Recording)
class RecordingAdmin(OfMachines):
    """That a call is recorded, and how large it is. What was said is for those who operate the machine."""

    project_path = "call__machine__project"
    list_display = ["call", "mode", "request_bytes", "response_bytes", "recorded_at", "expires_at"]
    list_select_related = ["call"]
    search_fields = ["call__machine__number"]
    ordering = ["-expires_at"]


@admin.register(RecordingPolicy)
class RecordingPolicyAdmin(Small):
    list_display = ["project", "mode", "days"]
    list_select_related = ["project"]


class UpstreamForm(forms.ModelForm[Upstream]):
    def clean_base_url(self) -> str:
        address: str = self.cleaned_data["base_url"]
        try:
            upstreams.require_address(address)
        except Invalid as error:
            raise forms.ValidationError(str(error)) from None
        return address


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

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.fields["label"].disabled = self.instance.pk is not None  # it is what the key is known by

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        try:
            upstreams.put_secret(self.instance, cleaned.get("secret") or "")
        except Invalid as error:
            raise forms.ValidationError({"secret": str(error)}) from None
        return cleaned


class Administered:
    """Administrators add, change and remove."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return administers(request)

    has_add_permission = has_view_permission
    has_change_permission = has_view_permission
    has_delete_permission = has_view_permission


class KeyInline(Administered, admin.TabularInline[UpstreamKey, Upstream]):
    model = UpstreamKey
    form = KeyForm
    extra = 0
    fields = [*KeyForm.Meta.fields, "secret", "refused_at", "last_error"]
    readonly_fields = ["refused_at", "last_error"]


@admin.register(Upstream)
class UpstreamAdmin(Administered, Small):
    form = UpstreamForm
    project_path = ""
    list_display = ["name", "base_url", "dialects", "model_patterns", "priority", "weight", "free", "enabled"]
    search_fields = ["^name"]
    inlines = [KeyInline]

    def save_model(self, request: HttpRequest, obj: Upstream, form: Any, change: bool) -> None:
        by = acting(request.user).username
        if not change:
            obj.pk = upstreams.add(by=by, **form.cleaned_data).pk
            obj._state.adding = False
        elif form.changed_data:
            asked = {name: form.cleaned_data[name] for name in form.changed_data}
            upstreams.change(Upstream.objects.get(pk=obj.pk), by=by, **asked)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        by, upstream = acting(request.user).username, Upstream.objects.get(pk=form.instance.pk)
        for key in formset.deleted_forms:
            upstreams.remove_key(upstream, key.instance.label, by=by)
        for key in formset.forms:
            if key.has_changed() and key not in formset.deleted_forms:
                fields = {name: key.cleaned_data[name] for name in KeyForm.Meta.fields}
                upstreams.set_key(
                    upstream, fields.pop("label"), by=by, secret=key.cleaned_data["secret"], **fields
                )
        formset.new_objects, formset.changed_objects, formset.deleted_objects = [], [], []

    def delete_model(self, request: HttpRequest, obj: Upstream) -> None:
        upstreams.remove(obj, by=acting(request.user).username)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Upstream]) -> None:
        for upstream in queryset:
            self.delete_model(request, upstream)
