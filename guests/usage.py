"""What guests use: written every minute from what the cluster reports anyway, completed from its history.

Counters are read, not summed up: whoever writes twice writes the same, and what was missed is in the next difference.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from guests.models import Guest, Meter, Usage
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import Observed, Power, Sample

MINUTE = timedelta(minutes=1)
# Averages of longer than half an hour, which is all that Proxmox 8 has of what is older, say nothing of a minute.
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
# A minute has its average in the history some time after it ended.
SETTLED = timedelta(minutes=3)
PRUNED_AT_ONCE = 5_000
ON = {Power.RUNNING, Power.PAUSED, Power.IO_ERROR}


def record(observed: Iterable[Observed], now: datetime) -> list[UUID]:
    """Write the minute that ended, once per minute, for each guest that is on; returns whose it was written."""
    if Meter.objects.filter(at__gte=_minute(now)).exists():
        return []
    on = {vm.vmid: vm for vm in observed if vm.power in ON}
    guests = dict(Guest.objects.filter(vmid__in=on, template=False).values_list("vmid", "pk"))
    before = Meter.objects.in_bulk(list(guests.values()))
    pairs = [measure(before.get(pk), on[vmid], pk, now) for vmid, pk in guests.items()]
    rows = [usage for _, usage in pairs if usage]
    with transaction.atomic():
        Usage.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1000)
        _save([meter for meter, _ in pairs])
    return [row.guest_id for row in rows]


def measure(before: Meter | None, vm: Observed, guest: UUID, now: datetime) -> tuple[Meter, Usage | None]:
    """The counters as they are now, and what was used since `before`; nothing when that was longer ago."""
    base = _base(before, vm, guest, now)
    began, ended = _minute(base.at), _minute(now)
    if began == ended:  # started a moment ago: its first minute is not over
        return base, None
    meter = _read(vm, guest, now, base)
    if before:
        meter.gap_from, meter.gap_until = before.gap_from, before.gap_until
    if ended - began > MINUTE:
        meter.gap_from, meter.gap_until = meter.gap_from or began, ended
        return meter, None
    used = (base.processors_used + meter.processors_used) / 2
    amounts = {name: max(0, value - base.amounts[name]) for name, value in meter.amounts.items()}
    seconds = (now - base.at).total_seconds()
    usage = Usage(
        guest_id=guest, at=began, cpu_seconds=used * seconds, memory_bytes=vm.memory_bytes, **amounts
    )
    return meter, usage


def fill(most: int = 3) -> int:
    """Complete what was not measured, of a few guests, from Proxmox's history; returns how many rows."""
    due = Meter.objects.filter(gap_until__lt=timezone.now() - SETTLED).select_related("guest")
    filled = 0
    for meter in due.order_by("?")[:most]:  # one whose node is away must not keep the others waiting
        try:
            rows = list(_rows(meter))
        except (errors.Missing, errors.Refused):
            rows = []  # there is none, and will be none
        except errors.ProxmoxError:
            continue
        with transaction.atomic():
            Usage.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1000)
            same = Meter.objects.filter(pk=meter.pk, gap_from=meter.gap_from, gap_until=meter.gap_until)
            same.update(gap_from=None, gap_until=None)
        filled += len(rows)
    return filled


def prune() -> int:
    """Delete rows older than `USAGE_DAYS`, so many at a time that nobody waits for it; returns how many."""
    old = Usage.objects.filter(at__lt=timezone.now() - timedelta(days=settings.USAGE_DAYS))
    batch = list(old.order_by("at").values_list("pk", flat=True)[:PRUNED_AT_ONCE])
    return Usage.objects.filter(pk__in=batch).delete()[0] if batch else 0


def tend() -> None:
    """What the hub sees to besides: gaps, and rows that are too old."""
    fill()
    prune()


def covering(
    samples: Sequence[Sample], since: datetime, until: datetime
) -> Iterator[tuple[datetime, Sample]]:
    """Each minute from `since` to `until` with the sample that its middle lies in; minutes without one are left out."""
    ends = [sample.at for sample in samples]
    step = min((later - earlier for earlier, later in pairwise(ends)), default=60)
    minute = since
    while minute < until:
        middle = minute.timestamp() + 30
        found = bisect_left(ends, middle)
        if found < len(ends) and ends[found] - step < middle:
            yield minute, samples[found]
        minute += MINUTE


def _rows(meter: Meter) -> Iterator[Usage]:
    until = meter.gap_until
    assert meter.gap_from
    assert until
    since = max(meter.gap_from, until - DAY)
    timeframe = "hour" if timezone.now() - since < HOUR else "day"
    for minute, sample in covering(driver().history(meter.guest.vm, timeframe), since, until):
        yield Usage(
            guest_id=meter.guest_id,
            at=minute,
            cpu_seconds=sample.cpu * meter.processors * 60,
            memory_bytes=sample.memory_bytes,
            **{name: round(getattr(sample, name) * 60) for name in Usage.NAMES},
        )


def _base(before: Meter | None, vm: Observed, guest: UUID, now: datetime) -> Meter:
    """What to count from: the last reading, or the VM's start when it was started since; then all counters were 0.

    Only the time that it is on tells a start: a counter also falls when its network device is plugged in again, or when
    QEMU does not answer.
    """
    if before and vm.uptime_seconds >= before.uptime_seconds:
        return before
    started = now - timedelta(seconds=vm.uptime_seconds)
    at = max(started, before.at) if before else started
    gap = {"gap_from": before.gap_from, "gap_until": before.gap_until} if before else {}
    return Meter(guest_id=guest, at=at, processors=vm.processors, processors_used=_used(vm), **gap)


def _read(vm: Observed, guest: UUID, now: datetime, base: Meter) -> Meter:
    """The counters now. One that is 0 was not told: QEMU did not answer in time (qemu-server: vmstatus); it stays."""
    return Meter(
        guest_id=guest,
        at=now,
        uptime_seconds=vm.uptime_seconds,
        processors=vm.processors,
        processors_used=_used(vm),
        **{name: getattr(vm, name) or value for name, value in base.amounts.items()},
    )


def _used(vm: Observed) -> float:
    return vm.cpu * vm.processors


def _save(meters: list[Meter]) -> None:
    fields = [field.name for field in Meter._meta.concrete_fields if not field.primary_key]
    Meter.objects.bulk_create(
        meters, update_conflicts=True, unique_fields=["guest"], update_fields=fields, batch_size=1000
    )


def _minute(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0)
