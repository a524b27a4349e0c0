"""In the Django admin: checkpoints, their proofs and effects, to be read; and what projects say of checkpoints."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin

from checkpoints.keeping import retention
from checkpoints.models import Checkpoint, Effect, Rules, Verification
from checkpoints.triggers import policy
from events.admin import ReadOnly
from projects.errors import Invalid


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnly):
    list_display = ["handle", "project", "kind", "state", "why", "created_at"]
    list_filter = ["state", "kind"]
    search_fields = ["handle", "why"]
    list_select_related = ["project"]


@admin.register(Verification)
class VerificationAdmin(ReadOnly):
    list_display = ["checkpoint", "depth", "verdict", "sentence", "seconds", "asked_by", "asked_at"]
    list_filter = ["depth", "verdict"]
    search_fields = ["checkpoint__handle"]
    list_select_related = ["checkpoint", "asked_by"]


@admin.register(Effect)
class EffectAdmin(ReadOnly):
    list_display = ["project", "origin", "call_number", "kind", "summary", "at"]
    list_filter = ["kind"]
    search_fields = ["origin"]
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
