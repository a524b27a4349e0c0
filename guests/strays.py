"""What a person may do about a stray VM: have it destroyed, or have it not mentioned any more."""

import re

from django.db import transaction

from events import actions as events
from guests import actions
from guests.models import Guest, Stray
from guests.states import State
from projects.errors import Conflict
from projects.models import Project, User

# How `machines.work.spawn` describes what it makes.
_PROJECT = re.compile(r"of project (\S+)")


@transaction.atomic
def destroy(stray: Stray, *, by: User) -> Guest:
    """Adopt the VM, and have it destroyed. Raises `Conflict` unless its description proves that it was made here."""
    known = Guest.objects.select_for_update()
    guest = known.filter(pk=stray.owner).first() if stray.owner else None
    if guest is None:
        guest = _adopted(stray)
    elif guest.vmid != stray.vmid or guest.state != State.GONE:
        raise Conflict(f"VM {stray.vmid} is a copy of VM {guest.vmid}, made by hand. {_by_hand(stray)}")
    guest.move(State.CONDEMNED)
    actions.destroy(guest)
    _record("guest.stray_destroyed", stray, by)
    stray.delete()
    return guest


@transaction.atomic
def ignore(stray: Stray, *, by: User) -> None:
    """Leave it alone, and do not ask again."""
    Stray.objects.filter(pk=stray.pk).update(ignored_by=by.username)
    _record("guest.stray_ignored", stray, by)


def _adopted(stray: Stray) -> Guest:
    match = _PROJECT.search(stray.description)
    project = Project.objects.filter(slug=match[1]).first() if match else None
    if not stray.owner or project is None or Guest.objects.filter(vmid=stray.vmid).exists():
        raise Conflict(f"Nothing proves that VM {stray.vmid} was made here. {_by_hand(stray)}")
    return Guest.objects.create(id=stray.owner, project=project, vmid=stray.vmid, node=stray.node)


def _by_hand(stray: Stray) -> str:
    return f"If you are sure, run on node {stray.node}: qm stop {stray.vmid}; qm destroy {stray.vmid} --purge"


def _record(kind: str, stray: Stray, by: User) -> None:
    events.record(kind, subject=f"vm:{stray.vmid}", by=by.username, name=stray.name, node=stray.node)
