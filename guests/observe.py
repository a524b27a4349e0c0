"""Observation: what Proxmox reports of our guests, copied with its date. It never decides anything."""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db.models import F, Q
from django.utils import timezone

from guests import usage
from guests.models import Guest
from guests.states import EXISTING
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import Observed

FIELDS = ["power", "power_since", "observed_at", "cpu", "memory_bytes", "node", "lock", "lock_since"]
# A cluster that has not answered for so long may have changed in any way.
FORGET_AFTER = timedelta(seconds=60)


class Seen(NamedTuple):
    """What a look has brought: guests whose power is not what it was, and those of which a minute's use was written."""

    changed: list[Guest]
    measured: list[UUID]


def observe() -> Seen:
    """Copy the cluster's view onto our guests.

    Guests on a node that is away become *unknown since …*, and so do all when the cluster does not answer for a while.
    """
    now = timezone.now()  # before the question, so that an old reading never counts as a new one
    try:
        inventory = driver().inventory()
    except errors.ProxmoxError:
        return Seen(_forget(now), [])
    measured = usage.record(inventory, now)
    seen = {vm.vmid: vm for vm in inventory}
    # One that was destroyed is looked at until it is seen to be gone.
    guests = list(Guest.objects.filter(~Q(power=Guest.Power.ABSENT) | Q(state__in=EXISTING)))
    changed = [guest for guest in guests if _copy(guest, seen.get(guest.vmid), now)]
    Guest.objects.bulk_update(guests, FIELDS, batch_size=500)
    # Not among the fields: actions write it meanwhile.
    on = [Guest.Power.RUNNING, Guest.Power.PAUSED]
    Guest.objects.filter(at_rest=True, power__in=on).update(at_rest=False)
    return Seen(changed, measured)


def _copy(guest: Guest, seen: Observed | None, now: datetime) -> bool:
    before = guest.power
    guest.power = Guest.Power(seen.power.value) if seen else Guest.Power.ABSENT
    guest.observed_at = now
    guest.cpu = seen.cpu if seen else 0
    guest.memory_bytes = seen.memory_bytes if seen else 0
    guest.node = seen.node if seen else guest.node  # it may have been migrated
    _copy_lock(guest, seen.lock if seen else "", now)
    if guest.power == before:
        return False
    guest.power_since = now
    return True


def _copy_lock(guest: Guest, lock: str, now: datetime) -> None:
    if guest.lock != lock:
        guest.lock, guest.lock_since = lock, now if lock else None


def _forget(now: datetime) -> list[Guest]:
    old = Guest.objects.filter(observed_at__lt=now - FORGET_AFTER, state__in=EXISTING)
    lost = list(old.exclude(power__in=[Guest.Power.UNKNOWN, Guest.Power.ABSENT]))
    Guest.objects.filter(pk__in=[guest.pk for guest in lost]).update(
        power=Guest.Power.UNKNOWN, power_since=F("observed_at")
    )
    return lost
