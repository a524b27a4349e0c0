"""A project's rules for its checkpoints: when they are taken, how long they are kept, and what keeping them takes."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.utils import timezone

from budgets import reports
from checkpoints.keeping import pruning
from checkpoints.models import Rules
from checkpoints.triggers.policy import AFTER_RESPONSE, OVERLAP
from machines import types
from machines.keeping import policies, stored
from machines.keeping import pruning as machines
from machines.keeping.pruning import Fate, Preview
from projects.models import Project, User

FATES_SHOWN = 200
USUAL = ("", "as the machine types say")
YES_OR_NO = [USUAL, ("yes", "yes"), ("no", "no")]
TIMINGS = {OVERLAP: "while the model thinks", AFTER_RESPONSE: "once it has answered"}
FLAGS = ("after_files", "skip", "ram")


class PolicyForm(forms.Form):
    """When checkpoints are taken. What is left empty is as the machine types have it."""

    calls = forms.IntegerField(label="Every so many model calls", required=False)
    minutes = forms.IntegerField(label="Every so many minutes", required=False)
    percent = forms.IntegerField(label="Every so many per cent of a budget", required=False)
    after_files = forms.ChoiceField(label="After tools that change files", choices=YES_OR_NO, required=False)
    timing = forms.ChoiceField(label="Taken", choices=[USUAL, *TIMINGS.items()], required=False)
    skip = forms.ChoiceField(label="Share the state where nothing changed", choices=YES_OR_NO, required=False)
    durable = forms.CharField(
        label="Backed up",
        required=False,
        help_text="none, final, milestone, or a number n for every nth as well",
    )
    ram = forms.ChoiceField(label="With memory where asked for", choices=YES_OR_NO, required=False)
    before = forms.CharField(
        label="Before tools that may do harm",
        required=False,
        widget=forms.Textarea,
        help_text="A name or pattern on each line; “usual” stands for all that are known, “none” for none",
    )

    @property
    def said(self) -> dict[str, object]:
        """As `policies.set_departures` takes it, which checks it."""
        found: dict[str, Any] = {
            name: value for name, value in self.cleaned_data.items() if value not in ("", None)
        }
        for name in FLAGS:
            if name in found:
                found[name] = found[name] == "yes"
        if "durable" in found:
            found["durable"] = int(found["durable"]) if found["durable"].isdecimal() else found["durable"]
        if "before" in found:
            lines = [line.strip() for line in found["before"].splitlines() if line.strip()]
            found["before"] = [] if lines == ["none"] else lines
        return found


class RetentionForm(forms.Form):
    """How long checkpoints are kept. What is left empty is as the settings have it."""

    keep_last = forms.IntegerField(label="The last", required=False)
    hourly = forms.IntegerField(label="Hourly", required=False)
    daily = forms.IntegerField(label="Daily", required=False)
    weekly = forms.IntegerField(label="Weekly", required=False)
    monthly = forms.IntegerField(label="Monthly", required=False)
    milestones = forms.CharField(
        label="Milestones", required=False, help_text="yes (for ever), no, or a number of days"
    )

    @property
    def said(self) -> dict[str, Any]:
        """As `checkpoints.keeping.retention.parse` takes it, which checks it."""
        found = {name: value for name, value in self.cleaned_data.items() if value not in ("", None)}
        if "milestones" in found:
            text = found["milestones"].lower()
            found["milestones"] = {"yes": True, "no": False}.get(
                text, int(text) if text.isdecimal() else text
            )
        return found


def view(project: Project, user: User) -> dict[str, Any]:
    """What the page shows; the forms with what the project says itself."""
    own = Rules.objects.filter(project=project).first() or Rules(project=project)
    return {
        "project": project,
        "policy_form": PolicyForm(initial={name: _typed(value) for name, value in own.policy.items()}),
        "retention_form": RetentionForm(
            initial={name: _typed(value) for name, value in own.retention.items()}
        ),
        "manages": user.has_perm("projects.manage_project", project),
        "usual": _usual(),
        "effective": policies.of_project(own.policy).items(),
        "titles": {kind.name: kind.title for kind in types.all()},
        "own_policy": own.policy,
        "own_retention": own.retention,
        "defaults": {name: _typed(value) for name, value in pruning.defaults().plain.items()},
        "backups": bool(settings.PROXMOX_BACKUP_STORAGE),
        "stored": stored.of_project(project),
        "gb_hours": _used(project),
    }


def fates(preview: Preview) -> dict[str, Any]:
    """What goes, and why what stays stays; the newest first."""
    stays = [one for one in preview.fates if one.stays]
    return {
        "preview": preview,
        "in_force": [(name, _typed(value)) for name, value in preview.rules.plain.items()],
        "going": _newest(preview.going),
        "staying": _newest(stays),
        "stays": len(stays),
        "goes": len(preview.going),
    }


def preview_of(project: Project) -> dict[str, Any]:
    return fates(machines.preview(project))


def _newest(found: Iterable[Fate]) -> list[Fate]:
    return list(found)[: -FATES_SHOWN - 1 : -1]


def _usual() -> dict[str, str]:
    """What holds for each key where a project says nothing: `1 for vibe; 0 for shell`."""
    kinds = types.all()
    found: dict[str, str] = {}
    for name in PolicyForm.base_fields:
        by_value: dict[str, list[str]] = {}
        for kind in kinds:
            by_value.setdefault(_typed(kind.checkpoints.values[name]), []).append(kind.name)
        alike = len(by_value) == 1
        found[name] = "; ".join(
            said(name, value) if alike else f"{said(name, value)} for {', '.join(names)}"
            for value, names in by_value.items()
        )
    return found


def said(name: str, typed: str) -> str:
    """The value of a key for people."""
    return TIMINGS.get(typed, typed) if name == "timing" else ", ".join(typed.splitlines())


def _typed(value: object) -> str:
    """A value as one would type it into the form."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return "\n".join(map(str, value)) or "none"
    return str(value)


def _used(project: Project) -> int:
    """Storage in the project's ledger since this month began, in megabyte-seconds."""
    now = timezone.now()
    began = datetime(now.year, now.month, 1, tzinfo=now.tzinfo)
    return reports.breakdown([project.id], since=began, until=now).total.storage_mb_seconds
