"""What the spawn and branch forms take. They check shape; whether it can be done is for the actions to say."""

import base64
import uuid
from typing import Any

from django import forms
from django.http import HttpRequest

from budgets import money
from guests.profiles import Profile
from machines import types
from machines.modifications import Modification, parse
from projects.errors import Refusal

FILE_ROWS_MAX = 50
# When checkpoints of one machine are taken; for more, there are the project's rules.
KEEPING: dict[str, tuple[str, dict[str, object] | None]] = {
    "": ("as usual in its project", None),
    "call": ("around every model call", {"calls": 1}),
    "none": (
        "only when asked for, and at the end",
        {"calls": 0, "minutes": 0, "percent": 0, "before": [], "after_files": False},
    ),
}
NETWORKS: dict[str, str] = {
    Profile.SEALED: "sealed: the model gateway, and nothing else",
    Profile.HUB: "hub: the gateway, and what is allowed to hubs",
    Profile.OPEN: "open: everything, the internet too",
}


class PromptForm(forms.Form):
    """What every new machine is given. `op` makes a second sending of the same form the first one."""

    op = forms.UUIDField(widget=forms.HiddenInput)
    type = forms.ChoiceField(choices=lambda: [(kind.name, kind.title) for kind in types.all()])
    # Checked by the action, whose sentences say what is wrong with it.
    prompt = forms.CharField(required=False, strip=False)
    cap = forms.CharField(required=False, max_length=20)
    keeping = forms.ChoiceField(
        choices=[(name, words) for name, (words, _) in KEEPING.items()], required=False
    )
    network = forms.ChoiceField(choices=[("", "as its type says"), *NETWORKS.items()], required=False)

    def clean_cap(self) -> int | None:
        """Micros, or None for no limit of its own."""
        try:
            return money.parse(self.cleaned_data["cap"]) if self.cleaned_data["cap"] else None
        except Refusal as error:
            raise forms.ValidationError(str(error)) from None

    @property
    def asked(self) -> dict[str, Any]:
        """The arguments of `machines.actions.spawn` that it answers."""
        cap = self.cleaned_data["cap"]
        return {
            "type_name": self.cleaned_data["type"],
            "prompt": self.cleaned_data["prompt"],
            "network": self.cleaned_data["network"],
            "departures": KEEPING[self.cleaned_data["keeping"]][1],
            "limits": {} if cap is None else {"money": cap},
            "idempotency_key": str(self.cleaned_data["op"]),
        }


class SpawnForm(PromptForm):
    """A prompt, and where to begin."""

    project = forms.CharField(max_length=40)
    checkpoint = forms.CharField(required=False, max_length=60)

    def clean(self) -> None:
        """A project's beginning holds no conversation to go on with."""
        if not self.cleaned_data.get("checkpoint") and not self.cleaned_data.get("prompt", "").strip():
            self.add_error("prompt", "The prompt is empty: say what the machine is to do.")


def fresh_op() -> str:
    """A key for a form that is shown for the first time."""
    return str(uuid.uuid4())


def text_files(request: HttpRequest) -> list[dict[str, str]]:
    """The files typed into the form, as they were typed; rows without a path and content are left out."""
    paths, contents = request.POST.getlist("file_path"), request.POST.getlist("file_content")
    rows = [
        {"path": path.strip(), "content": content} for path, content in zip(paths, contents, strict=False)
    ]
    return [row for row in rows if row["path"] or row["content"]][:FILE_ROWS_MAX]


def modifications(request: HttpRequest) -> list[Modification]:
    """Typed and uploaded files together. Raises `Invalid`, naming the file."""
    # Browsers send CRLF from text areas; no file was meant to have it.
    typed = [{**row, "content": row["content"].replace("\r\n", "\n")} for row in text_files(request)]
    uploaded = [
        {"path": upload.name, "content_base64": base64.b64encode(upload.read()).decode()}
        for upload in request.FILES.getlist("uploads")
    ]
    return parse([*typed, *uploaded])
