"""Price a past span anew, by the price book of today: the differences are entered, and so is that it was done."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone

from budgets import book, prices
from budgets.errors import UnknownPrice
from budgets.models import LedgerEntry, Rerating, months_of
from budgets.prices import Price, Usage
from events import actions as events
from projects.errors import Invalid
from projects.models import Project, User

AT_ONCE = 500
LOCK = 0x72657261  # "rera"


@dataclass(frozen=True, slots=True)
class Difference:
    """What one entry costs more or less than was entered for it."""

    entry: LedgerEntry
    micros: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What a re-rating would come to."""

    entries: int
    micros: int


def preview(project: Project | None, since: datetime, until: datetime) -> Preview:
    """How many entries would be corrected, and by how much in all; nothing is entered. Raises `Invalid`."""
    _check(since, until)
    found = list(_differences(project, since, until))
    return Preview(len(found), sum(one.micros for one in found))


def rerate(project: Project | None, since: datetime, until: datetime, *, by: User | None) -> Rerating:
    """Enter what calls from `since` to `until` cost more or less by today's prices; of one project, or of all.

    It starts from what earlier re-ratings made of them, so doing it again does nothing, and one that was interrupted
    is gone on with. Calls whose model has no price any more stay as they are. Raises `Invalid`.
    """
    _check(since, until)
    with _one_at_a_time():
        return _rerate(project, since, until, by.username if by else events.SYSTEM)


def _rerate(project: Project | None, since: datetime, until: datetime, actor: str) -> Rerating:
    made = Rerating.objects.create(
        project=project, since=since, until=until, price_version=prices.version(), actor=actor
    )
    batch: list[Difference] = []
    for one in _differences(project, since, until):
        batch.append(one)
        if len(batch) == AT_ONCE:
            _enter(made, batch)
            batch = []
    _enter(made, batch)
    events.record(
        "ledger.rerated",
        subject=f"rerating:{made.pk}",
        project_id=project.pk if project else None,
        by=actor,
        since=since.isoformat(),
        until=until.isoformat(),
        entries=made.entries,
        micros=made.micros,
        price_version=made.price_version,
    )
    return made


def _check(since: datetime, until: datetime) -> None:
    if since >= until or until > timezone.now():
        raise Invalid("A span of the past is re-rated: from one moment to a later one, not beyond now.")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two at once would both find the same differences. Not a lock of the transaction: calls are to go on meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


@transaction.atomic
def _enter(made: Rerating, batch: list[Difference]) -> None:
    asked = [{"entry": one.entry.pk, "month": one.entry.month, "micros": one.micros} for one in batch]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT budgets_rerate(%s, %s, %s::jsonb, %s)",
            [made.pk, made.price_version, json.dumps(asked, default=str), timezone.now()],
        )
    made.entries += len(batch)
    made.micros += sum(one.micros for one in batch)
    made.save(update_fields=["entries", "micros"])


def _differences(project: Project | None, since: datetime, until: datetime) -> Iterator[Difference]:
    earlier = _corrected(project, since, until)
    for entry in _priced(project, since, until).iterator(chunk_size=2_000):
        price = _price(entry.label)
        if price is None:
            continue
        micros = price.cost_micros(_usage(entry)) - entry.micros - earlier.get(entry.pk, 0)
        if micros:
            yield Difference(entry, micros)


def _priced(project: Project | None, since: datetime, until: datetime) -> QuerySet[LedgerEntry]:
    """The provider's own figures; a bound is none, and what cost nothing was free."""
    entries = LedgerEntry.objects.filter(
        kind="usage", calls__gt=0, micros__gt=0, created_at__gte=since, created_at__lt=until
    )
    entries = entries.filter(month__range=months_of(since, until)).order_by("id")
    return entries.filter(project=project) if project else entries


def _corrected(project: Project | None, since: datetime, until: datetime) -> dict[int, int]:
    """What earlier re-ratings entered, by the entry that they corrected: of its month, its id the key's last part."""
    entries = LedgerEntry.objects.filter(kind="rerating", month__range=months_of(since, until))
    entries = entries.filter(project=project) if project else entries
    sums = entries.values("key").annotate(total=Sum("micros")).order_by()
    found: dict[int, int] = {}
    for row in sums:
        entry = int(row["key"].rpartition(":")[2])
        found[entry] = found.get(entry, 0) + row["total"]
    return found


def _price(model: str) -> Price | None:
    try:
        return book.price_of(model)
    except UnknownPrice:
        return None


def _usage(entry: LedgerEntry) -> Usage:
    """Searches are not in the ledger: the gateway lets no call make any."""
    return Usage(
        input_tokens=entry.input_tokens,
        cache_read_tokens=entry.cached_tokens,
        cache_write_tokens=entry.cache_write_tokens - entry.cache_write_1h_tokens,
        cache_write_1h_tokens=entry.cache_write_1h_tokens,
        output_tokens=entry.output_tokens,
    )
