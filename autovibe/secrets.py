"""Everything that the database keeps encrypted, and how all of it comes under the newest SECRET_KEY.

A row that nothing lists here stays under the key that sealed it: `tests/autovibe/test_rotation.py` looks for such.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from allauth.mfa.models import Authenticator
from django.db import models, transaction

from accounts.adapters import TOTP
from autovibe import idempotency
from autovibe.models import KeptAnswer
from events import actions as events
from gateway import recordings, secrets
from gateway.models import Recording, UpstreamKey
from gateway.upstreams import registry

BATCH = 100

Reseal = Callable[[Any], Any]  # of a column's value: the new one, or None where it is under the newest key


@dataclass(frozen=True)
class Store:
    """Columns of a table that hold something encrypted."""

    title: str
    model: type[models.Model]
    columns: tuple[str, ...]
    reseal: Reseal


@dataclass
class Count:
    """What became of the rows of a store."""

    title: str
    renewed: int = 0
    current: int = 0
    unreadable: list[str] = field(default_factory=list)  # their primary keys


def _column(purpose: str) -> Reseal:
    return lambda sealed: secrets.resealed(purpose, bytes(sealed))


def _second_factor(data: dict[str, Any]) -> dict[str, Any] | None:
    """An authenticator app's secret, or the seed of recovery codes: see allauth.mfa."""
    sealed = {name: data[name].encode() for name in ("secret", "seed") if name in data}
    renewed = {name: secrets.resealed(TOTP, value) for name, value in sealed.items()}
    fresh = {name: value.decode() for name, value in renewed.items() if value}
    return {**data, **fresh} if fresh else None


STORES = (
    Store("keys of upstreams", UpstreamKey, ("sealed",), _column(registry.SECRETS)),
    Store("second factors", Authenticator, ("data",), _second_factor),
    Store(
        "recorded calls", Recording, ("request", "response"), lambda value: recordings.resealed(bytes(value))
    ),
    Store("kept answers", KeptAnswer, ("sealed",), _column(idempotency.PURPOSE)),
)


def rotate(*, dry_run: bool = False, batch: int = BATCH) -> list[Count]:
    """Bring every row under the newest key. Each batch is committed: interrupted, it is simply begun again."""
    counts = [_rotate(store, dry_run, batch) for store in STORES]
    if not dry_run:
        told = {
            count.title: {"renewed": count.renewed, "unreadable": len(count.unreadable)} for count in counts
        }
        events.record("secrets.rotated", subject="system", stores=told)
    return counts


def _rotate(store: Store, dry_run: bool, batch: int) -> Count:
    count, last = Count(store.title), None
    while True:
        with transaction.atomic():
            rows = list(_after(store, last, batch))
            for row in rows:
                _renew(store, row, count, dry_run)
        if len(rows) < batch:
            return count
        last = rows[-1].pk


def _after(store: Store, last: object, batch: int) -> Iterator[models.Model]:
    found = store.model._default_manager.order_by("pk").only("pk", *store.columns)
    if last is not None:
        found = found.filter(pk__gt=last)
    yield from found.select_for_update(of=("self",))[:batch]


def _renew(store: Store, row: models.Model, count: Count, dry_run: bool) -> None:
    try:
        values = {name: store.reseal(value) for name in store.columns if (value := getattr(row, name))}
    except secrets.Unreadable:
        count.unreadable.append(str(row.pk))
        return
    fresh = {name: value for name, value in values.items() if value is not None}
    if not fresh:
        count.current += 1
        return
    count.renewed += 1
    if not dry_run:
        store.model._default_manager.filter(pk=row.pk).update(**fresh)
