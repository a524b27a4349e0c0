"""Reconciliation: whether the snapshots that checkpoints live in are still there, some guests at a time."""

from django.db.models import F
from django.utils import timezone

from checkpoints.models import Checkpoint
from checkpoints.states import State
from checkpoints.telling import fail
from guests import work
from guests.models import Guest
from guests.states import State as GuestState
from operations.models import Operation
from proxmox import errors
from proxmox.connect import driver

GUESTS_AT_ONCE = 10

GONE = "Its snapshot {} is gone from VM {}: somebody has deleted it in Proxmox."
GUEST_GONE = "Its snapshot {} went with VM {}, which is gone from Proxmox."


def reconcile() -> None:
    """Look at the guests that were not looked at for the longest time; a checkpoint without its snapshot is broken."""
    held = Guest.objects.filter(checkpoint__state=State.CAPTURED, template=False, state=GuestState.PRESENT)
    oldest = held.distinct().order_by(F("snapshots_seen_at").asc(nulls_first=True))
    for guest in oldest[:GUESTS_AT_ONCE]:
        if not Operation.objects.active().filter(lock=guest.subject).exists():
            _compare(guest)


def _compare(guest: Guest) -> None:
    captured = list(Checkpoint.objects.filter(guest=guest, state=State.CAPTURED).select_related("shares"))
    why = GONE
    try:
        there = {snapshot.name for snapshot in driver().snapshots(guest.vm) if snapshot.complete}
    except errors.ProxmoxError:  # it may be away
        if not (guest.gone and work.is_gone(guest)):
            return
        there, why = set(), GUEST_GONE
    finally:
        Guest.objects.filter(pk=guest.pk).update(snapshots_seen_at=timezone.now())
    for checkpoint in captured:
        if checkpoint.snapshot not in there and not checkpoint.holder.backup:
            fail(checkpoint, why.format(checkpoint.snapshot, guest.vmid))
