"""What a running machine can use at most, and what it did use under a lease. Reads only; `limits.compute` acts on it.

Everything is reckoned in millionths of a resource's unit, so that nothing is rounded before the end.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.db.models import QuerySet

from budgets.resources import WHOLE, Needs, Resource
from guests.models import Usage
from machines.models import Lease, Machine
from machines.size import CORES, MEMORY_MIB

MINUTE = timedelta(minutes=1)
MEASURED = frozenset({Resource.CPU.value, Resource.MEMORY.value, Resource.NETWORK.value})

Rates = dict[str, int]


def rates_of(machine: Machine) -> Rates:
    """For each resource, the most that the machine uses in a second, in millionths of its unit."""
    return {
        Resource.WALL.value: WHOLE,
        Resource.CPU.value: CORES * WHOLE,
        Resource.MEMORY.value: MEMORY_MIB * 2**20,  # the unit is a million bytes: a byte is a millionth of it
        Resource.STORAGE.value: machine.guest.disk_bytes,
        Resource.NETWORK.value: 0,  # nobody can say
    }


def needs_of(rates: Rates) -> Needs:
    """What has to be held for a number of seconds. Of the network one byte has to be left."""
    return {name: (WHOLE if name == Resource.NETWORK else 0, rate) for name, rate in rates.items()}


def is_measured(lease: Lease, until: datetime) -> bool:
    """Whether it is known what was used under the lease up to then."""
    minutes = sum(1 for _ in _minutes(lease.began_at, until))
    return minutes == _rows(lease, until).count()


def used(lease: Lease) -> tuple[dict[str, int], bool]:
    """By resource, what was used under a lease that has ended; and whether all of it was measured.

    Minutes that were not count as much as was held for them.
    """
    assert lease.ended_at
    by_clock = (lease.ended_at - lease.began_at) // timedelta(seconds=1)
    sums = {name: 0 if name in MEASURED else rate * by_clock for name, rate in lease.rates.items()}
    complete = True
    rows = {row.at: row for row in _rows(lease, lease.ended_at)}
    for begins, ends in _minutes(lease.began_at, lease.ended_at):
        row = rows.get(minute_of(begins))
        complete = complete and row is not None
        part = _measured(row, (ends - begins).total_seconds()) if row else {}
        for name in MEASURED.intersection(sums):
            sums[name] += _bounded(lease, name, part.get(name), begins, ends)
    return {name: (amount + WHOLE // 2) // WHOLE for name, amount in sums.items()}, complete


def minute_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


def second_of(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def seconds_in(span: timedelta) -> int:
    """Rounded up; none for less than nothing."""
    return max(math.ceil(span.total_seconds()), 0)


def _minutes(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The stretch, cut where minutes end."""
    while since < until:
        ends = min(minute_of(since) + MINUTE, until)
        yield since, ends
        since = ends


def _rows(lease: Lease, until: datetime) -> QuerySet[Usage]:
    return Usage.objects.filter(guest=lease.machine.guest_id, at__gte=minute_of(lease.began_at), at__lt=until)


def _measured(row: Usage, seconds: float) -> dict[str, int]:
    """So many seconds' part of a minute."""
    part = seconds / 60
    return {
        Resource.CPU.value: round(row.cpu_seconds * part * WHOLE),
        Resource.MEMORY.value: round(row.memory_bytes * seconds),
        Resource.NETWORK.value: round((row.received_bytes + row.sent_bytes) * part * WHOLE),
    }


def _bounded(lease: Lease, name: str, amount: int | None, begins: datetime, ends: datetime) -> int:
    """Not more than can be used in that time; where nothing was measured, that, as far as it was held."""
    rate = lease.rates[name]
    if amount is None:
        held = min(ends, max(lease.until, begins)) - begins
        return round(rate * held.total_seconds())
    if name == Resource.NETWORK:
        return amount
    return min(amount, round(rate * (ends - begins).total_seconds()))
