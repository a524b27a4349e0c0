"""The latest events of a wall: what happened to which machine, and nothing of who did it."""

from collections.abc import Iterable
from dataclasses import dataclass

from dashboard.wall.sight import Sight
from events.models import Event
from machines.models import Machine

SHOWN = 10
# Of each kind its tone, its icon, and what is said of the handle or project in its place.
KINDS = {
    "machine.requested": ("neutral", "clock", "{} was asked for"),
    "machine.running": ("ok", "play", "{} is running"),
    "machine.paused": ("warn", "pause", "{} is paused"),
    "machine.failed": ("bad", "cross", "{} failed"),
    "machine.terminated": ("neutral", "stop", "{} has ended"),
    "checkpoint.verified": ("ok", "check", "{} is proven"),
    "checkpoint.broken": ("bad", "cross", "{} is broken"),
    "budget.warning": ("warn", "coin", "A budget of {} is nearly used up"),
    "budget.exhausted": ("bad", "coin", "A budget of {} is used up"),
    "breaker.opened": ("bad", "warn", "The circuit breaker of {} opened"),
    "breaker.closed": ("ok", "check", "The circuit breaker of {} closed"),
}


@dataclass(frozen=True)
class Happening:
    """One event; `prompt` where the screen shows prompts, and it is a machine's."""

    event: Event
    tone: str
    icon: str
    sentence: str
    project: str
    prompt: str


def latest(sight: Sight) -> list[Happening]:
    """One query; one more with prompts."""
    found = list(
        Event.objects.filter(project_id__in=sight.ids, kind__in=KINDS)
        .only("at", "kind", "subject", "project_id", "data")
        .order_by("-id")[:SHOWN]
    )
    prompts = _prompts(found) if sight.prompts else {}
    return [_told(event, sight, prompts) for event in found]


def _told(event: Event, sight: Sight, prompts: dict[str, str]) -> Happening:
    tone, icon, sentence = KINDS[event.kind]
    project = sight.slugs[event.project_id] if event.project_id else ""
    name = str(event.data.get("handle") or project)
    return Happening(event, tone, icon, sentence.format(name), project, prompts.get(event.subject, ""))


def _prompts(found: Iterable[Event]) -> dict[str, str]:
    kind = "machine:"
    keys = {event.subject.removeprefix(kind) for event in found if event.subject.startswith(kind)}
    return {machine.subject: machine.title for machine in Machine.objects.filter(pk__in=keys)}
