"""Time and compute under a budget: held before they are used, charged as measured, ended at the very second.

A machine runs on leases. A lease begins where the last one ended and holds, for two minutes ahead, the most that the
machine can use: wall time, the CPU time of all its cores, its whole memory and disk. At each minute's end the lease
is cut there, settled by what was measured, and the next one held. When that cannot be had any more, the machine runs
on to the end of what it has and is paused just so long before it as pausing takes.

- What has no limit is counted all the same, and nothing stops for it: a machine that has none at all is settled every
  ten minutes. When a limit comes or goes, the lease is cut at once.
- Wall time and storage are known by the clock; CPU time, memory and network come from `guests.models.Usage`, and a
  minute that lies in a lease in part counts in proportion (`machines.forecast.measure`). Nothing counts for more
  than was held, except network, which nobody can hold: it is charged as measured, and a machine runs while one byte
  of it is left.
- A lease that is cut before its last minute was measured is charged by its bound, and put right afterwards; what is
  never measured stays at the bound. What ran without a lease, because no hub was there, is charged once it is measured.
- A paused machine uses nothing here: its memory and disk stay on the node, but it is the budget that stopped it.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import uuid4

from django.db import transaction
from django.utils import timezone

from budgets import actions as budgets
from budgets import ledger
from budgets.models import Window
from budgets.resources import COMPUTE, Resource, amount_of
from machines import actions
from machines.forecast.measure import (
    MEASURED,
    is_measured,
    minute_of,
    needs_of,
    rates_of,
    second_of,
    seconds_in,
    used,
)
from machines.limits.payer import payer_of
from machines.models import Lease, Machine
from machines.states import State
from operations.models import Operation, Status

AHEAD = 120  # seconds that a new lease reaches ahead
# Of a machine without limits: it is settled so many seconds after it was last, and the lease reaches as far ahead.
UNLIMITED = 600
# How long a machine's first lease has to be, besides what pausing takes: it must not be paused at once. Where
# something is measured it has to outlast the end of a minute, when it turns out how much too much was held.
LEAST, LEAST_MEASURED = 10, 90
PAUSE_MIN, PAUSE_MAX = timedelta(seconds=2), timedelta(seconds=30)
LOOK_SECONDS = 3.0
# Gaps in the measurement are filled from Proxmox's history, of a few guests a minute.
PATIENCE = timedelta(hours=1)
HOLD_SECONDS = 3600.0
# The guest is on, and its machine at work or on its way from there.
METERED = frozenset({State.RUNNING, State.PAUSING, State.RESTORING, State.STOPPING})
_RELATED = ("project", "guest", "source", "present")

Limits = dict[str, set[str]]


class _TooLittle(Exception):
    """A lease could not be renewed; what was tried does not count. `dry`: nothing is left of what cannot be held."""

    def __init__(self, shortage: budgets.Shortage, *, dry: bool) -> None:
        super().__init__(shortage.sentence)
        self.shortage, self.dry = shortage, dry


@transaction.atomic
def begin(machine: Machine, now: datetime | None = None) -> None:
    """The machine runs from now on: hold its first lease, or have it paused again."""
    now = now or timezone.now()
    Machine.objects.select_for_update(no_key=True).get(pk=machine.pk)  # one at a time
    for lease in Lease.objects.filter(machine=machine, ended_at=None).select_related("machine"):
        _end(lease, now)
    if shortage := _hold(machine, now, now, least=_least(_limited(machine))):
        _hold(machine, now, now, least=0)  # what there is, for as long as pausing takes
        _pause(machine, shortage)


def tick(now: datetime | None = None) -> float:
    """See to every running machine; return in how many seconds the next has to be paused, or to look again."""
    now = now or timezone.now()
    related = ["machine", *(f"machine__{name}" for name in _RELATED)]
    leases = list(Lease.objects.filter(ended_at=None).select_related(*related))
    limits = _limits()
    pending = [_tend(lease, now, limits) for lease in leases]
    without = Machine.objects.filter(state=State.RUNNING).exclude(pk__in=[one.machine_id for one in leases])
    for machine in without.select_related(*_RELATED):
        begin(machine, now)
    return min(pending, default=LOOK_SECONDS)


def settle(now: datetime | None = None) -> int:
    """Put right what was charged by a bound and has been measured meanwhile; returns how many leases."""
    now, done = now or timezone.now(), 0
    for lease in Lease.objects.filter(ended_at__isnull=False).select_related("machine"):
        figures, complete = used(lease)
        if complete or (lease.ended_at and lease.ended_at < now - PATIENCE):
            _conclude(lease, figures)
            done += 1
    return done


def _limits() -> Limits:
    """Which kinds of compute are limited, for each holder of such a limit."""
    found: Limits = {}
    for holder, resource in (
        Window.objects.open().filter(resource__in=COMPUTE).values_list("holder", "resource")
    ):
        found.setdefault(holder, set()).add(resource)
    return found


def _limited(machine: Machine, limits: Limits | None = None) -> set[str]:
    """The kinds of compute that are limited for the machine."""
    limits = _limits() if limits is None else limits
    return set[str]().union(*(limits.get(holder, ()) for holder in payer_of(machine).holders))


def _tend(lease: Lease, now: datetime, limits: Limits) -> float:
    """End the lease, renew it, or have its machine paused; return in how many seconds to look at it again."""
    machine = lease.machine
    if machine.state not in METERED:
        with transaction.atomic():
            _end(lease, machine.paused_at or machine.ended_at or now)
        return LOOK_SECONDS
    if machine.state == State.RUNNING and set(lease.limited) != _limited(machine, limits):
        begin(machine, now)
        return LOOK_SECONDS
    cut = _where_to_cut(lease, now)
    refused = _renew(lease, cut, now, least=_longer(lease, cut, now)) if cut else None
    if refused is None or machine.state != State.RUNNING:
        return LOOK_SECONDS
    left = (lease.until - _pausing_takes() - now).total_seconds()
    if left > 0 and not refused.dry:
        return left
    if last := _renew(lease, second_of(now), now, least=_least(lease.limited)):
        _pause(machine, last.shortage)
    return LOOK_SECONDS


def _where_to_cut(lease: Lease, now: datetime) -> datetime | None:
    """At the end of the last minute, once that is measured; now, if it cannot wait for that; or not yet."""
    due = lease.began_at + timedelta(seconds=0 if lease.limited else UNLIMITED)
    if (minute := minute_of(now)) > due and is_measured(lease, minute):
        return minute
    soon = now + PAUSE_MAX + timedelta(seconds=LOOK_SECONDS)
    return second_of(now) if lease.until < soon else None


def _longer(lease: Lease, cut: datetime, now: datetime) -> int:
    """How many seconds a lease from `cut` on has to have to be better than this one."""
    if lease.until <= now:  # nobody was there to renew it in time
        return seconds_in(now - cut) + _least(lease.limited)
    return seconds_in(lease.until - cut) + 1


def _renew(lease: Lease, cut: datetime, now: datetime, *, least: int) -> _TooLittle | None:
    """Settle the lease up to `cut`, and hold another from there on, for `least` seconds or more; or leave it."""
    machine = lease.machine
    try:
        with transaction.atomic():
            current = Lease.objects.select_for_update().filter(pk=lease.pk, ended_at=None).first()
            if current is None:
                return None
            _end(current, cut)
            if shortage := _hold(machine, cut, now, least=least):
                raise _TooLittle(shortage, dry=budgets.left(payer_of(machine), Resource.NETWORK) == 0)
    except _TooLittle as refused:
        return refused
    return None


def _hold(machine: Machine, since: datetime, now: datetime, *, least: int) -> budgets.Shortage | None:
    """A lease from `since` on, for `least` seconds or more; or why there is none. In the caller's transaction."""
    since, rates, limited = second_of(since), rates_of(machine), _limited(machine)
    ahead = AHEAD if limited else UNLIMITED + AHEAD
    hold = budgets.reserve(
        f"compute:{machine.id}:{uuid4().hex}",  # committed with its lease, or not at all
        payer=payer_of(machine),
        needs=needs_of(rates),
        wanted=max(least, seconds_in(now - since) + ahead),
        minimum=least,
        label="compute",
        seconds=HOLD_SECONDS,
    )
    if isinstance(hold, budgets.Shortage):
        return hold
    until = since + timedelta(seconds=hold.units)
    Lease.objects.create(
        machine=machine,
        reservation_id=hold.reservation_id,
        began_at=since,
        until=until,
        rates=rates,
        limited=sorted(limited),
    )
    return None


def _end(lease: Lease, at: datetime) -> None:
    """Nothing is used under this lease after `at`. In the caller's transaction."""
    lease.ended_at = max(second_of(at), lease.began_at)
    if lease.ended_at == lease.began_at:
        ledger.cancel(lease.reservation_id)
        lease.delete()
        return
    figures, complete = used(lease)
    if complete:
        _conclude(lease, figures)
        return
    lease.save(update_fields=["ended_at"])
    ledger.assume(lease.reservation_id, figures)


@transaction.atomic
def _conclude(lease: Lease, figures: dict[str, int]) -> None:
    budgets.settle_figures(lease.reservation_id, figures)
    lease.delete()


def _pause(machine: Machine, shortage: budgets.Shortage) -> None:
    """Until there is room for another first lease."""
    limited, needs = _limited(machine), needs_of(rates_of(machine))
    awaited = {name: amount_of(needs[name], _least(limited)) for name in sorted(limited)}
    actions.out_of_budget(machine, shortage.sentence, awaited)


def _least(limited: Collection[str]) -> int:
    """How many seconds the first lease of a machine that runs has at least."""
    own = LEAST if MEASURED.isdisjoint(limited) else LEAST_MEASURED
    return own + seconds_in(_pausing_takes())


def _pausing_takes() -> timedelta:
    """As long as the longest of the last ten times, within reason."""
    done = Operation.objects.filter(verb="pause", status=Status.SUCCEEDED).order_by("-created_at")[:10]
    took = [one.finished_at - one.created_at for one in done if one.finished_at]
    return min(max(took, default=PAUSE_MIN) + timedelta(seconds=1), PAUSE_MAX)
