"""Which type of machine suits a prompt, and why. A suggestion only: whoever spawns chooses."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Q

from machines import types
from machines.models import Machine
from machines.states import ENDED, State
from machines.types import MachineType
from projects.models import Project

PAST_MIN = 3  # fewer machines say nothing about their type
SAFE = "vibe"  # it needs nothing in the template, so it is the one that works everywhere


@dataclass(frozen=True)
class Suggestion:
    """`why` goes on from the type's title."""

    kind: MachineType
    why: str


def suggest(projects: Iterable[Project], prompt: str = "") -> Suggestion:
    """By what the prompt says; else by what went well in these projects; else what works everywhere."""
    return _by_words(prompt) or _by_past(projects) or _safest()


def _by_words(prompt: str) -> Suggestion | None:
    """The type that says it is good at what the prompt names. To one that asks no model, prompts are commands."""
    said = {_stem(word) for word in re.findall(r"[a-z]+", prompt.lower())}
    for kind in types.all():
        for skill in kind.good_at if kind.default_model else ():
            if {_stem(word) for word in skill.lower().split()} <= said:
                return Suggestion(kind, f"the prompt speaks of {skill}, which it is good at")
    return None


def _stem(word: str) -> str:
    return word.removesuffix("s")


def _by_past(projects: Iterable[Project]) -> Suggestion | None:
    """The type with the most machines that came to a good end."""
    ended = Machine.objects.filter(project__in=list(projects), state__in=ENDED, replays=None)
    good = Count("pk", filter=Q(state=State.TERMINATED, exit_code=0))
    best = ended.values("type").annotate(n=Count("pk"), good=good).order_by("-good", "type").first()
    known = {kind.name: kind for kind in types.all()}
    if not best or best["type"] not in known or best["good"] < PAST_MIN:
        return None
    return Suggestion(
        known[best["type"]], f"{best['good']} of {best['n']} such machines here came to a good end"
    )


def _safest() -> Suggestion:
    kinds = {kind.name: kind for kind in types.all()}
    if SAFE in kinds:
        return Suggestion(kinds[SAFE], "it needs nothing in the template but Python")
    first = next(iter(kinds.values()))
    return Suggestion(first, "it is the first of those that are installed")
