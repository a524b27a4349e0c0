"""In the Django admin: checkpoints, to be read, and what projects say of them."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin

from checkpoints import policy, retention
from checkpoints.models import Checkpoint, Rules
from projects.errors import Invalid


@admin.register(Checkpoint)
class CheckpointAdmin(admin.ModelAdmin[Checkpoint]):
    list_display = ["handle", "project", "kind", "state", "why", "created_at"]
    list_filter = ["state", "kind"]
    search_fields = ["handle", "why"]
    readonly_fields = [field.name for field in Checkpoint._meta.fields]
    list_select_related = ["project"]


class RulesForm(forms.ModelForm[Rules]):
    """What is written is understood before it is stored."""

    class Meta:
        model = Rules
        fields = ["project", "policy", "retention"]

    def clean_policy(self) -> dict[str, object]:
        return self._understood("policy", policy.checked)

    def clean_retention(self) -> dict[str, object]:
        return self._understood("retention", lambda values: retention.parse(values) and values)

    def _understood(self, name: str, read: Callable[[Any], Any]) -> dict[str, object]:
        try:
            return dict(read(self.cleaned_data[name] or {}))
        except Invalid as error:
            raise forms.ValidationError(str(error)) from None


@admin.register(Rules)
class RulesAdmin(admin.ModelAdmin[Rules]):
    form = RulesForm
    list_display = ["project", "policy", "retention", "changed_at"]
    list_select_related = ["project"]
