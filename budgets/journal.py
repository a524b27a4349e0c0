"""The ledger, entry by entry: pages of it, newest first, and the whole as CSV. Queries only."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from budgets.models import LedgerEntry, Window
from budgets.money import MICROS
from budgets.reports import AMOUNTS
from budgets.resources import Period
from projects.models import Project, User

# Kind and model have no index: so many entries are searched for them at a time, and then one is asked to go on.
SEARCHED_AT_ONCE = 100_000
CSV_ROWS_AT_ONCE = 2_000

# That a minute began is not worth a line. Only minutes are forgotten: where the balance is gone, it was one.
_MINUTE_BEGAN = Q(kind=LedgerEntry.Kind.LIMIT, actor="system", key__endswith=":opened") & ~Exists(
    Window.objects.filter(pk=OuterRef("windows__0")).exclude(budget__period=Period.MINUTE)
)

# The sum keeps the planner from walking along the ids; by time there is an index of whole blocks.
_IDS = """
SELECT coalesce(min(id + 0), 0), coalesce(max(id + 0), -1) FROM budgets_ledgerentry
WHERE created_at BETWEEN %s AND %s
"""

# Gives machines their names.
Handles = Callable[[Iterable[UUID]], dict[UUID, str]]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries; what is empty asks for nothing."""

    kind: str = ""
    label: str = ""  # the model
    machine_id: UUID | None = None
    day: date | None = None  # UTC

    def __bool__(self) -> bool:
        return bool(self.kind or self.label or self.machine_id or self.day)


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries. `before` is where the next page goes on; `searched_to` is said where this one is cut short."""

    entries: list[LedgerEntry]
    before: int | None = None
    searched_to: datetime | None = None


def page(project: Project, asked: Filter, *, before: int | None = None, size: int = 50) -> Page:
    """Entries of the project that were made before the one of that id, newest first.

    Takes about as long whatever the length of the ledger: it is read along an index, and not too far.
    """
    reachable = _reachable(project, asked, before)
    floor = None
    if asked.kind or asked.label:
        floor = reachable.only("id", "created_at")[SEARCHED_AT_ONCE : SEARCHED_AT_ONCE + 1].first()
    wanted = {name: value for name in ("kind", "label") if (value := getattr(asked, name))}
    found = reachable.exclude(_MINUTE_BEGAN).filter(**wanted, **({"id__gt": floor.id} if floor else {}))
    entries = list(found[: size + 1])
    if len(entries) > size:
        return Page(entries[:size], entries[size - 1].id)
    return Page(entries, floor.id + 1, floor.created_at) if floor else Page(entries)


def _reachable(project: Project, asked: Filter, before: int | None) -> QuerySet[LedgerEntry]:
    found = LedgerEntry.objects.filter(project=project).order_by("-id")
    if before is not None:
        found = found.filter(id__lt=before)
    if asked.machine_id:
        found = found.filter(machine_id=asked.machine_id)
    if asked.day:
        span = datetime.combine(asked.day, time.min, UTC), datetime.combine(asked.day, time.max, UTC)
        found = found.filter(created_at__range=span, id__range=_ids_between(*span))
    return found


def _ids_between(since: datetime, until: datetime) -> tuple[int, int]:
    """The first and last id of that time: else it would be looked for from the end of the ledger on."""
    with connection.cursor() as cursor:
        cursor.execute(_IDS, [since, until])
        first, last = cursor.fetchone()
    return first, last


COLUMNS = (
    "id", "time", "kind", "machine", "member", "for", "cost", "currency", *AMOUNTS[1:-1],
    "price_version", "by", "key", "changes",
)  # fmt: skip


async def as_csv(project: Project, asked: Filter, handles: Handles) -> AsyncIterator[str]:
    """The entries as a CSV file. `changes` says by how much each window's balance changed: `12:+300`."""
    yield _lines([COLUMNS])
    before: int | None = None
    while True:
        text, before = await sync_to_async(_csv)(project, asked, before, handles)
        yield text
        if before is None:
            return


def _csv(project: Project, asked: Filter, before: int | None, handles: Handles) -> tuple[str, int | None]:
    piece = page(project, asked, before=before, size=CSV_ROWS_AT_ONCE)
    machines, people = names(piece.entries, handles)
    rows = (_row(entry, project.currency, machines, people) for entry in piece.entries)
    return _lines(rows), piece.before


def names(entries: Iterable[LedgerEntry], handles: Handles) -> tuple[dict[UUID, str], dict[int, str]]:
    """What the machines and members in these entries are called."""
    entries = list(entries)
    members = User.objects.filter(pk__in={entry.member_id for entry in entries if entry.member_id})
    return (
        handles({entry.machine_id for entry in entries if entry.machine_id}),
        dict(members.values_list("pk", "username")),
    )


def _row(
    entry: LedgerEntry, currency: str, machines: dict[UUID, str], people: dict[int, str]
) -> list[object]:
    changes = (f"{window}:{amount:+}" for window, amount in zip(entry.windows, entry.amounts, strict=True))
    return [
        entry.id,
        entry.created_at.isoformat(),
        entry.kind,
        machines.get(entry.machine_id, entry.machine_id) if entry.machine_id else "",
        _text(str(people.get(entry.member_id, entry.member_id))) if entry.member_id else "",
        _text(entry.label),
        f"{'-' if entry.micros < 0 else ''}{abs(entry.micros) // MICROS}.{abs(entry.micros) % MICROS:06d}",
        currency,
        *(getattr(entry, name) for name in AMOUNTS[1:-1]),
        _text(entry.price_version),
        _text(entry.actor),
        entry.key,
        " ".join(changes),
    ]


def _text(cell: str) -> str:
    """Spreadsheets run what begins like a formula; a model's name comes from an agent."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def _lines(rows: Iterable[Iterable[object]]) -> str:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()
