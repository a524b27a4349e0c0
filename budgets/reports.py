"""What was used, by what and by whom, and what is held now. Queries only; entry by entry, see `budgets.journal`.

Machines are known by their ids here; `machines.limits.spending` gives them names and types.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, time, tzinfo
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet, Sum
from django.utils import timezone

from budgets.models import LedgerEntry, Reservation, Window
from budgets.resources import Period, Resource

# Summed up once by everything, and then by each alone: the second time there are few rows.
_BREAKDOWN = """
WITH part AS (
    SELECT project_id, label, machine_id, member_id, (created_at AT TIME ZONE %(zone)s)::date AS day, {sums}
    FROM budgets_ledgerentry
    WHERE project_id = ANY(%(projects)s::uuid[]) AND kind = ANY(%(kinds)s)
      AND created_at >= %(since)s AND created_at < %(until)s
      AND (%(machine)s::uuid IS NULL OR machine_id = %(machine)s)
    GROUP BY 1, 2, 3, 4, 5
)
SELECT grouping(project_id, label, machine_id, member_id, day), project_id, label, machine_id, member_id, day,
       {totals}
FROM part GROUP BY GROUPING SETS ((), (project_id), (label), (machine_id), (member_id), (day))
"""
_KINDS = ("system", "hub", "project", "member", "machine")


@dataclass(frozen=True, slots=True)
class Used:
    """Sums over ledger entries. The four token counts do not overlap; `assumed` counts entries that are a bound."""

    micros: int = 0
    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    wall_seconds: int = 0
    cpu_seconds: int = 0
    memory_mb_seconds: int = 0
    storage_mb_seconds: int = 0
    network_bytes: int = 0
    assumed: int = 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.cached_tokens + self.cache_write_tokens + self.output_tokens

    @property
    def new_tokens(self) -> int:
        """What was read for the first time, be it written to the cache or not."""
        return self.input_tokens + self.cache_write_tokens

    def __add__(self, other: "Used") -> "Used":
        return Used(*(getattr(self, name) + getattr(other, name) for name in AMOUNTS))


AMOUNTS = tuple(one.name for one in fields(Used))
_SUMS = ", ".join(
    [
        *(f"sum({name}) AS {name}" for name in AMOUNTS[:-1]),
        "count(*) FILTER (WHERE kind = 'assumed') AS assumed",
    ]
)
_TOTALS = ", ".join(f"coalesce(sum({name}), 0)::bigint" for name in AMOUNTS)


@dataclass(frozen=True, slots=True)
class Breakdown:
    """One span of the ledger, and each way it can be cut. Every cut adds up to `total`: they are read together."""

    total: Used = Used()
    projects: dict[UUID, Used] = field(default_factory=dict)
    labels: dict[str, Used] = field(default_factory=dict)  # models, or what else it was used for
    machines: dict[UUID | None, Used] = field(default_factory=dict)
    members: dict[int | None, Used] = field(default_factory=dict)
    days: dict[date, Used] = field(default_factory=dict)


def breakdown(
    projects: Iterable[UUID],
    *,
    since: datetime,
    until: datetime,
    zone: tzinfo = UTC,
    machine_id: UUID | None = None,
) -> Breakdown:
    """What these projects, or one machine of theirs, used from `since` up to `until`; days are those of `zone`."""
    asked: dict[str, Any] = {
        "projects": list(projects),
        "kinds": list(LedgerEntry.CONSUMPTION),
        "since": since,
        "until": until,
        "zone": str(zone),
        "machine": machine_id,
    }
    whole: dict[None, Used] = {}
    found = Breakdown()
    # By the bits of grouping(), which are 1 for the columns that a row is not of.
    cuts: dict[int, tuple[int, dict[Any, Used]]] = {
        0b01111: (0, found.projects),
        0b10111: (1, found.labels),
        0b11011: (2, found.machines),
        0b11101: (3, found.members),
        0b11110: (4, found.days),
    }
    with connection.cursor() as cursor:
        cursor.execute(_BREAKDOWN.format(sums=_SUMS, totals=_TOTALS), asked)
        for bits, *row in cursor.fetchall():
            at, cut = cuts.get(bits, (0, whole))
            cut[row[at]] = Used(*row[5:])
    total = whole.get(None, Used())
    return Breakdown(total, found.projects, found.labels, found.machines, found.members, found.days)


def spent_since(projects: Iterable[UUID], since: datetime) -> dict[UUID, int]:
    """The money that each of these projects spent since then, in micros; those that spent none are left out."""
    entries = LedgerEntry.objects.filter(
        project__in=list(projects), kind__in=LedgerEntry.CONSUMPTION, created_at__gte=since
    )
    sums = entries.order_by().values_list("project").annotate(spent=Sum("micros"))
    return {project: int(spent) for project, spent in sums}


def midnight(zone: tzinfo = UTC, now: datetime | None = None) -> datetime:
    """When today began there."""
    local = (now or timezone.now()).astimezone(zone)
    return datetime.combine(local.date(), time(), zone)


def holds(projects: Iterable[UUID]) -> QuerySet[Reservation]:
    """What is held on some budget and not settled yet; what expires first comes first."""
    held = Reservation.objects.filter(state=Reservation.State.HELD, project__in=list(projects))
    held = held.exclude(windows=[])
    return held.select_related("project").order_by("expires_at")


def standing(projects: Iterable[UUID]) -> list[Window]:
    """The open windows of these projects' own budgets and of their members', in the order to show them in."""
    found = Window.objects.open().filter(budget__project__in=list(projects))
    return in_order(found.exclude(holder__startswith="machine:"))


def above_projects() -> list[Window]:
    """The open windows of the whole system and of its hubs."""
    return in_order(Window.objects.open().filter(budget__project=None))


def of_holders(holders: Iterable[str]) -> list[Window]:
    """The open windows of these holders, in the order to show them in."""
    return in_order(Window.objects.of(list(holders)))


def in_order(windows: QuerySet[Window]) -> list[Window]:
    """By project, whose, resource and period."""
    return sorted(windows.select_related("budget__project"), key=_place)


def _place(window: Window) -> tuple[str, int, str, int, int]:
    budget = window.budget
    return (
        budget.project.slug if budget.project else "",
        _KINDS.index(budget.kind),
        budget.scope,
        Resource.values.index(budget.resource),
        Period.values.index(budget.period),
    )
