"""Which machines a list is asked for: the filters of `machines/` and of its counts, which are the same."""

from typing import Any

from django.db.models import Q
from rest_framework import serializers
from rest_framework.request import Request

from budgets.api import checked
from machines.models import Machine, MachineQuerySet
from machines.states import State


class MachineFilters(serializers.Serializer[Any]):
    """Query parameters; those that are given have to hold together."""

    project = serializers.CharField(required=False, help_text="Only of this project.")
    state = serializers.CharField(
        required=False, help_text=f"Only in these states, separated by commas: {', '.join(State.values)}."
    )
    type = serializers.CharField(required=False, help_text="Only of this type; see machine-types/.")
    source = serializers.CharField(  # type: ignore[assignment]
        required=False, help_text="Only spawned from this checkpoint (its handle)."
    )
    created_by = serializers.CharField(required=False, help_text="Only spawned by this user (their name).")
    since = serializers.DateTimeField(required=False, help_text="Only created at this time or later.")
    until = serializers.DateTimeField(required=False, help_text="Only created before this time.")
    q = serializers.CharField(
        required=False, max_length=200, help_text="Only with this text in the prompt, or with this handle."
    )

    def validate_state(self, state: str) -> list[str]:
        """Raises `ValidationError`, naming the states that there are."""
        asked = state.split(",")
        if unknown := [one for one in asked if one not in State.values]:
            raise serializers.ValidationError(
                f"There is no state “{unknown[0]}”; there are {', '.join(State.values)}."
            )
        return asked


_LOOKUPS = {
    "project": "project__slug",
    "state": "state__in",
    "type": "type",
    "source": "source__handle",
    "created_by": "created_by__username",
    "since": "created_at__gte",
    "until": "created_at__lt",
}


def asked_for(request: Request) -> MachineQuerySet:
    """The machines that the caller may see and asks for. Raises `ValidationError`."""
    asked = checked(MachineFilters, request.query_params)
    found = Machine.objects.permitted(request.user, "view_project")
    found = found.filter(**{_LOOKUPS[name]: value for name, value in asked.items() if name in _LOOKUPS})
    return found.filter(_holding(asked["q"])) if "q" in asked else found


def _holding(text: str) -> Q:
    return Q(prompt__icontains=text) | Q(number=Machine.number_of(text))
