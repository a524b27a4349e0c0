"""A page of a project's ledger, and the filter in its address."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from budgets import journal
from budgets.journal import Filter
from budgets.models import Budget, LedgerEntry, Window
from dashboard.pages import number
from machines import actions
from machines.limits import spending
from projects.errors import NotThere
from projects.models import Project, User

ROWS = 50


@dataclass(frozen=True)
class Asked:
    """What the address asks for, and what was wrong with it."""

    filter: Filter
    before: int | None
    problem: str = ""


@dataclass(frozen=True)
class Change:
    """A line of the double entry: which limit changed by how much."""

    budget: Budget
    amount: int


@dataclass(frozen=True)
class Row:
    entry: LedgerEntry
    machine: str
    member: str
    changes: list[Change]

    @property
    def renewal(self) -> bool:
        """A period began, or a limit was new; nobody changed it."""
        return self.entry.key.endswith(":opened")


def asked(query: Mapping[str, str], user: User) -> Asked:
    """Read the filter; what cannot be read asks for nothing, and is said."""
    problems: list[str] = []
    kind = query.get("kind", "")
    return Asked(
        Filter(
            kind=kind if kind in LedgerEntry.Kind.values else "",
            label=query.get("model", "").strip(),
            machine_id=_machine(query.get("machine", "").strip(), user, problems),
            day=_day(query.get("day", ""), problems),
        ),
        number(query.get("before", "")) or None,
        " ".join(problems),
    )


def view(project: Project, user: User, query: Mapping[str, str]) -> dict[str, Any]:
    """The context of the page."""
    wanted = asked(query, user)
    found = journal.page(project, wanted.filter, before=wanted.before, size=ROWS)
    return {
        "project": project,
        "asked": wanted,
        "query": {name: query.get(name, "") for name in ("kind", "machine", "model", "day")},
        "kinds": LedgerEntry.Kind.choices,
        "page": found,
        "rows": _rows(found.entries),
    }


def _rows(entries: list[LedgerEntry]) -> list[Row]:
    machines, people = journal.names(entries, spending.handles)
    ids = {key for entry in entries if entry.kind not in LedgerEntry.CONSUMPTION for key in entry.windows}
    windows = Window.objects.filter(pk__in=ids).select_related("budget").in_bulk()
    return [
        Row(
            entry,
            machines.get(entry.machine_id, "") if entry.machine_id else "",
            people.get(entry.member_id, "") if entry.member_id else "",
            _changes(entry, windows),
        )
        for entry in entries
    ]


def _changes(entry: LedgerEntry, windows: Mapping[int, Window]) -> list[Change]:
    if entry.kind in LedgerEntry.CONSUMPTION:
        return []
    lines = zip(entry.windows, entry.amounts, strict=True)
    return [Change(windows[key].budget, amount) for key, amount in lines if key in windows]


def _machine(reference: str, user: User, problems: list[str]) -> Any:
    if not reference:
        return None
    try:
        return actions.find(reference, user=user).id
    except NotThere as error:
        problems.append(str(error))
        return None


def _day(text: str, problems: list[str]) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        problems.append(f"{text!r} is not a day; write it like 2031-05-06.")
        return None
