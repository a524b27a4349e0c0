"""The form of a wall screen, and what its page shows."""

from typing import Any

from django import forms

from dashboard import screens
from dashboard.models import Screen
from dashboard.screens import Wanted
from dashboard.wall import BLOCKS, Block
from projects.models import User

VIEWS_MAX = 4
EVERY = "every"  # instead of a project's name
USUAL = {"counts": 1, "map": 1, "events": 1, "burn": 1}
SECONDS = 20


class ScreenForm(forms.Form):
    """A screen to be made or changed. Each block says in which view it is; 0: in none."""

    name = forms.CharField(max_length=60)
    show = forms.MultipleChoiceField(required=False)
    seconds = forms.IntegerField(min_value=5, max_value=3600, initial=SECONDS)
    theme = forms.ChoiceField(choices=Screen.Theme.choices, initial=Screen.Theme.DARK)
    zoom = forms.TypedChoiceField(choices=Screen.Zoom.choices, coerce=int, initial=Screen.Zoom.USUAL)
    shows_prompts = forms.BooleanField(required=False)

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offered = {project.slug: project for project in screens.offered(user)}
        every = [(EVERY, "Every project")] if user.administers else []
        self.fields["show"].choices = every + [(slug, slug) for slug in self._offered]  # type: ignore[attr-defined]
        for name in BLOCKS:
            self.fields[_field(name)] = forms.TypedChoiceField(
                choices=[(number, _nth(number)) for number in range(VIEWS_MAX + 1)],
                coerce=int,
                initial=USUAL.get(name, 0),
            )

    @property
    def blocks(self) -> list[tuple[Block, forms.BoundField]]:
        """Each with its field."""
        return [(block, self[_field(block.name)]) for block in BLOCKS.values()]

    @property
    def wanted(self) -> Wanted:
        """What a valid form asks for."""
        said = self.cleaned_data
        numbered = [
            [name for name in BLOCKS if said[_field(name)] == number] for number in range(1, VIEWS_MAX + 1)
        ]
        return Wanted(
            name=said["name"].strip(),
            views=[names for names in numbered if names],
            every_project=EVERY in said["show"],
            projects=[] if EVERY in said["show"] else [self._offered[slug] for slug in said["show"]],
            seconds=said["seconds"],
            theme=said["theme"],
            zoom=said["zoom"],
            shows_prompts=said["shows_prompts"],
        )


def filled(screen: Screen, user: User) -> ScreenForm:
    """The form as the screen is now."""
    shown = [EVERY] if screen.every_project else [project.slug for project in screen.projects.all()]
    kept = {name: getattr(screen, name) for name in ("name", "seconds", "theme", "zoom", "shows_prompts")}
    return ScreenForm(user, initial={**kept, "show": shown, **_placed(screen)})


def _placed(screen: Screen) -> dict[str, int]:
    found = {name: number for number, names in enumerate(screen.views, 1) for name in names}
    return {_field(name): found.get(name, 0) for name in BLOCKS}


def _field(block: str) -> str:
    return f"view_{block}"


def _nth(number: int) -> str:
    return f"in view {number}" if number else "not shown"
