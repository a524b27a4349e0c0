"""What the page of one's API tokens shows, and its form. What a token may be is decided in `projects.tokens`."""

from typing import Any

from django import forms
from django.conf import settings

from projects import tokens
from projects.models import Project, User
from projects.roles import ADMINISTER, WORDS, Right

ADMINISTERING = (ADMINISTER, "Administer the system: its settings, prices, pools, upstreams and users")
USUAL = [Right.VIEW.value, Right.SPAWN.value, Right.OPERATE.value]
DEAD_SHOWN = 20


class TokenForm(forms.Form):
    """A token to be made. What is left empty is as usual."""

    name = forms.CharField(max_length=60)
    project = forms.CharField(required=False)
    scopes = forms.MultipleChoiceField(choices=[*WORDS.items(), ADMINISTERING], initial=USUAL)
    days = forms.IntegerField(min_value=1, required=False)


def view(user: User, *, dead: bool = False) -> dict[str, Any]:
    """The user's own tokens; `dead`: the last that ended, too."""
    own = tokens.visible(user, dead=dead).filter(user=user)
    offered = [*WORDS.items(), *([ADMINISTERING] if user.administers else [])]
    return {
        "tokens": own[: DEAD_SHOWN if dead else None],
        "dead": dead,
        "form": TokenForm(),
        "scopes": [(str(scope), words) for scope, words in offered],
        "projects": Project.objects.permitted(user, Right.VIEW).order_by("slug"),
        "days": min(tokens.DAYS, settings.TOKEN_DAYS_MAX),
        "days_max": settings.TOKEN_DAYS_MAX,
    }
