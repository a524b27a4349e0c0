"""The page of the audit trail: what its search finds, row by row, in words."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.urls import reverse

from audit import grammar, search
from audit.grammar import FIELDS, Term
from audit.search import Sight
from dashboard import things
from dashboard.pages import number
from dashboard.things import Thing
from events.chain import checks
from events.models import Event, Head
from projects.errors import NotThere
from projects.models import User

ROWS = 50
TONES = {
    "failed": "bad",
    "broken": "bad",
    "refused": "bad",
    "terminated": "neutral",
    "running": "ok",
    "paused": "warn",
}


@dataclass(frozen=True)
class Change:
    """One value, as it was and as it is."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Row:
    event: Event
    thing: Thing
    project: str
    sourced: bool  # whether its reader may know from where it was asked for

    @property
    def action(self) -> str:
        return self.event.kind.replace(".", " ").replace("_", " ").capitalize()

    @property
    def tone(self) -> str:
        return TONES.get(self.event.kind.rpartition(".")[2], "neutral")

    @cached_property
    def changes(self) -> list[Change]:
        """What it says of before and after, side by side."""
        after = self.event.data.get("after")
        now = after if isinstance(after, dict) else self.event.data
        return [
            Change(_spoken(name), _shown(value), _shown(now.get(name)))
            for name, value in self._before.items()
        ]

    @cached_property
    def rest(self) -> list[tuple[str, str]]:
        """Whatever else it tells."""
        left_out = {"before", "after", *self._before} if self._before else set()
        return [
            (_spoken(name), _shown(value)) for name, value in self.event.data.items() if name not in left_out
        ]

    @property
    def _before(self) -> dict[str, Any]:
        before = self.event.data.get("before")
        return before if isinstance(before, dict) else {}


def view(user: User, query: Mapping[str, str], slug: str = "") -> dict[str, Any]:
    """The context of the page; of one project, where one is given. Raises `NotThere`."""
    sight = Sight.of(user)
    if slug and slug not in sight.projects.values():
        raise NotThere(f"There is no project {slug!r} that you may see.")
    asked = grammar.parse(query.get("q", ""))
    terms = [*asked.terms, *([Term("project", slug)] if slug else [])]
    found, missing = search.find(sight, terms)
    older_than = number(query.get("before", ""))
    page = list((found.filter(pk__lt=older_than) if older_than else found)[: ROWS + 1])
    return {
        "slug": slug,
        "here": reverse("dashboard:project_audit", args=[slug]) if slug else reverse("dashboard:audit"),
        "q": query.get("q", ""),
        "asked": asked,
        "problems": [*asked.problems, *missing],
        "rows": _rows(page[:ROWS], sight),
        "older": page[ROWS - 1].pk if len(page) > ROWS else None,
        "older_than": older_than,
        "fields": FIELDS,
        "exports": sight.system or _audits(sight, slug),
        "verified": checks.latest(),
        "intact": checks.INTACT,
        "signed": Head.objects.last(),
    }


def _audits(sight: Sight, slug: str) -> bool:
    return any(not slug or sight.projects.get(key) == slug for key in sight.audited)


def _rows(found: list[Event], sight: Sight) -> list[Row]:
    known = things.of({event.subject for event in found}, sight.projects)
    return [
        Row(
            event,
            known.get(event.subject)
            or Thing(str(event.data.get("handle", "")) or things.short(event.subject)),
            sight.projects.get(event.project_id, "") if event.project_id else "",
            sight.knows_source(event),
        )
        for event in found
    ]


def _spoken(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
