"""What was used in a span of days, as the tables of a project's budget page. They add up to their heading."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

from django.core.cache import caches
from django.utils import timezone

from budgets import reports
from budgets.reports import Breakdown, Used
from dashboard import bars
from machines import types
from machines.limits import spending
from projects.models import Project, User

# Days that may be asked for, and how they are called.
SPANS = {1: "24 hours", 7: "7 days", 30: "30 days", 90: "90 days"}
USUAL = 30
SPENDERS_SHOWN = 10
FRESH_SECONDS = 60


@dataclass(frozen=True)
class Part:
    """A row: what or who, what it used, and how much of everything that was, in per cent."""

    name: str
    used: Used
    percent: float


@dataclass(frozen=True)
class Cut:
    """A table. What `others` were left out of it is summed up in its last row."""

    title: str
    heading: str
    parts: list[Part]
    others: Part | None = None


@dataclass(frozen=True)
class Read:
    """What the ledger says, and what its ids stand for."""

    found: Breakdown
    handles: dict[UUID, str]
    types: dict[str, Used]
    people: dict[int, str]


def span_of(asked: str) -> int:
    return next((days for days in SPANS if str(days) == asked), USUAL)


def view(project: Project, days: int) -> dict[str, Any]:
    """The context of the tables; at most a minute old, as a long ledger takes a while to add up."""
    key = f"spending:{project.pk}:{days}"
    read: Read = caches["process"].get(key) or _read(project, days)
    caches["process"].add(key, read, FRESH_SECONDS)
    found = read.found
    return {
        "days": days,
        "spans": SPANS,
        "used": found.total,
        "cuts": [
            _cut("By model", "Model", found.labels, found.total),
            _cut("By type of machine", "Type", _titled(read.types), found.total),
            _cut("By member", "Member", spending.named(found.members, read.people), found.total),
        ],
        "spenders": _cut(
            "Top spenders",
            "Machine",
            spending.named(found.machines, read.handles),
            found.total,
            shown=SPENDERS_SHOWN,
        ),
        "daily": _by_day(found.days, found.total),
        "bars": bars.draw(found.days, project.currency, timezone.now().astimezone(UTC).date(), days),
    }


def _read(project: Project, days: int) -> Read:
    until = timezone.now()
    found = reports.breakdown([project.id], since=until - timedelta(days=days), until=until)
    people = User.objects.filter(pk__in=[key for key in found.members if key])
    return Read(
        found,
        spending.handles(key for key in found.machines if key),
        spending.by_type(found),
        dict(people.values_list("pk", "username")),
    )


def _cut(title: str, heading: str, cut: Mapping[str, Used], total: Used, shown: int = 20) -> Cut:
    """The dearest first."""
    ordered = sorted(cut.items(), key=lambda part: (-part[1].micros, -part[1].calls, part[0]))
    parts = [_part(name or "–", used, total) for name, used in ordered]
    if len(parts) <= shown:
        return Cut(title, heading, parts)
    rest = sum((part.used for part in parts[shown:]), Used())
    return Cut(title, heading, parts[:shown], _part(f"{len(parts) - shown} others", rest, total))


def _part(name: str, used: Used, total: Used) -> Part:
    return Part(name, used, round(100 * used.micros / total.micros, 1) if total.micros else 0)


def _by_day(days: Mapping[Any, Used], total: Used) -> list[Part]:
    """The newest first; the bar is of the dearest day."""
    dearest = max((used.micros for used in days.values()), default=0)
    return [
        Part(f"{day:%a} {day.day} {day:%b}", used, round(100 * used.micros / dearest, 1) if dearest else 0)
        for day, used in sorted(days.items(), reverse=True)
    ]


def _titled(cut: Mapping[str, Used]) -> dict[str, Used]:
    """Types of machine by title; two may have the same one."""
    titles = {kind.name: kind.title for kind in types.all()}
    titled: dict[str, Used] = {}
    for name, used in cut.items():
        title = titles.get(name, name)
        titled[title] = titled.get(title, Used()) + used
    return titled
