"""What may be asked of guests: a number for a new one, and the end of one that nothing needs."""

from django.conf import settings
from django.db import transaction

from guests.models import Guest, next_vmid
from guests.states import EXISTING, State
from operations import actions as operations
from projects.errors import Refusal
from projects.models import Project


class NoRoom(Refusal):
    """There is no VMID left in the configured range."""

    status = 503
    type = "no-room"


def allocate(project: Project, source: Guest) -> Guest:
    """A guest row with a fresh VMID, where its source is; Proxmox hears of it later, from a worker.

    A clone of a guest's snapshot lands on that guest's node and storage, where the snapshot is.
    """
    return Guest.objects.create(
        project=project,
        vmid=fresh_vmid(),
        node=source.node,
        storage=source.storage,
        image_format=source.image_format,
        disk_bytes=source.disk_bytes,
    )


def fresh_vmid() -> int:
    """A number that was never used. Raises `NoRoom`."""
    vmid: int = settings.PROXMOX_VMID_FIRST + next_vmid() - 1
    if vmid > settings.PROXMOX_VMID_LAST:
        raise NoRoom("The VMID range is used up. Widen PROXMOX_VMID_FIRST and PROXMOX_VMID_LAST.")
    return vmid


def renumber(guest: Guest) -> None:
    """Give a guest that was not made yet another VMID: somebody else has taken the one it had."""
    guest.vmid = fresh_vmid()
    guest.save(update_fields=["vmid"])


def set_at_rest(guest: Guest, at_rest: bool) -> None:
    """Note whether the guest's disks are, and stay, as in its newest snapshot."""
    Guest.objects.filter(pk=guest.pk).update(at_rest=at_rest)
    guest.at_rest = at_rest


@transaction.atomic
def condemn(guest: Guest) -> None:
    """Have the guest destroyed: nothing lives in it that anybody may come back to."""
    if guest.template or guest.state not in EXISTING - {State.CONDEMNED}:
        return
    guest.move(State.CONDEMNED)
    destroy(guest)


@transaction.atomic
def destroy(guest: Guest) -> None:
    """Begin to destroy a condemned guest."""
    _begin("destroy", guest)


@transaction.atomic
def halt(guest: Guest) -> None:
    """Have the guest switched off, whatever runs in it: its machine failed. Its snapshots stay."""
    _begin("halt", guest)


@transaction.atomic
def drop_snapshot(guest: Guest, name: str) -> None:
    """Have a snapshot deleted that no checkpoint lives in any more."""
    _begin("drop_snapshot", guest, snapshot=name)


def _begin(verb: str, guest: Guest, **arguments: str) -> None:
    assert guest.project is not None, "Templates are left alone."
    operations.begin(
        verb,
        subject=guest.subject,
        project=guest.project,
        lock=guest.subject,
        task=f"guests.tasks.{verb}",
        by=None,
        guest=str(guest.id),
        **arguments,
    )
