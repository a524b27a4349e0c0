"""Observation: what Proxmox reports of our guests, copied with its date. It never decides anything."""

from datetime import datetime

from django.db.models import Q
from django.utils import timezone

from guests.models import Guest
from guests.states import EXISTING
from proxmox.connect import driver
from proxmox.driver import Observed

FIELDS = ["power", "power_since", "observed_at", "cpu", "memory_bytes"]


def observe() -> list[Guest]:
    """Copy the cluster's view onto our guests; return those whose power is not what it was."""
    now = timezone.now()  # before the question, so that an old reading never counts as a new one
    seen = {vm.vmid: vm for vm in driver().inventory()}
    # One that was destroyed is looked at until it is seen to be gone.
    guests = list(Guest.objects.filter(~Q(power=Guest.Power.ABSENT) | Q(state__in=EXISTING)))
    changed = [guest for guest in guests if _copy(guest, seen.get(guest.vmid), now)]
    Guest.objects.bulk_update(guests, FIELDS, batch_size=500)
    return changed


def _copy(guest: Guest, seen: Observed | None, now: datetime) -> bool:
    before = guest.power
    guest.power = Guest.Power(seen.power.value) if seen else Guest.Power.ABSENT
    guest.observed_at = now
    guest.cpu = seen.cpu if seen else 0
    guest.memory_bytes = seen.memory_bytes if seen else 0
    if guest.power == before:
        return False
    guest.power_since = now
    return True
