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


def allocate(project: Project, *, node: str) -> Guest:
    """A guest row with a fresh VMID on `node`; Proxmox hears of it later, from a worker."""
    vmid = settings.PROXMOX_VMID_FIRST + next_vmid() - 1
    if vmid > settings.PROXMOX_VMID_LAST:
        raise NoRoom("The VMID range is used up. Widen PROXMOX_VMID_FIRST and PROXMOX_VMID_LAST.")
    return Guest.objects.create(project=project, vmid=vmid, node=node)


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


def _begin(verb: str, guest: Guest) -> None:
    assert guest.project is not None, "Templates are left alone."
    operations.begin(
        verb,
        subject=guest.subject,
        project=guest.project,
        lock=guest.subject,
        task=f"guests.tasks.{verb}",
        by=None,
        guest=str(guest.id),
    )
