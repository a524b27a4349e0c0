"""A copied guest, or one that was put back, becomes somebody: its addresses before power-on, the rest before its agent.

What was done to each thing, and how it was proven, goes into the event log. How a guest does its part is in
`machines.guest`'s identity.py.
"""

import re
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from events import actions as events
from events.models import Event
from machines.models import Machine
from machines.work.context import Work
from operations.engine import Outcome, Step
from proxmox import errors
from proxmox.connect import driver

KIND = "machine.identity"
# A network device's text begins "virtio=BC:24:11:…" or says "macaddr=…" (qemu-server: $net_fmt).
_MAC = re.compile(r"(?:^\w+=|macaddr=)((?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2})")


def fresh_addresses(work: Work) -> Outcome:
    """Give every network device of a guest that was put back a MAC address that it never had."""
    vm = work.machine.guest.vm
    present = _devices(driver().config(vm))
    old = _addresses(present)
    noted = _noted(work).get("old")
    if noted is None:
        _note(work, {"old": old})  # before it is changed: whoever repeats this has to know
    elif all(old.get(name) != address for name, address in noted.items()):
        return None  # it was done before
    if old:
        driver().configure(vm, {name: _without_address(text) for name, text in present.items()})
    return None


def compare_addresses(work: Work) -> Outcome:
    """See that a clone has other MAC addresses than its source, and give it some where it has not.

    Proxmox makes new ones for clones (qemu-server: API2/Qemu.pm, clone_vm), and for backups that are restored `unique`.
    """
    vm = work.machine.guest.vm
    present = _devices(driver().config(vm))
    sources = _addresses(_source_devices(work))
    _note(work, {"old": sources})
    inherited = {
        name: _without_address(present[name])
        for name, address in _addresses(present).items()
        if address in sources.values()
    }
    if inherited:
        driver().configure(vm, inherited)
    return None


FRESH: Step[Work] = Step("address", "Giving it a network address of its own", fresh_addresses)
COMPARED: Step[Work] = FRESH._replace(act=compare_addresses)


def prove(work: Work, proofs: Mapping[str, Any]) -> None:
    """Record what was proven, once for each fork; raises `Refused` where the addresses are still another's."""
    _record(work.machine, {**proofs, "address": _proof_of_address(work)}, fork=fork_of(work))


def fork_of(work: Work) -> str:
    """What has made the guest a copy: an operation, and for one that puts back, to which checkpoint."""
    return f"{work.operation.id}/{work.target.id}" if work.target else str(work.operation.id)


def _proof_of_address(work: Work) -> dict[str, Any]:
    old = _noted(work).get("old", {})
    new = _addresses(_devices(driver().config(work.machine.guest.vm)))
    if shared := set(new.values()) & set(old.values()):
        raise errors.Refused(f"Its network address {min(shared)} is still that of another guest.")
    if not new:
        return {"renewed": False, "why": "It has no network device."}
    return {"renewed": True, "old": old, "new": new, "proof": "read back from the VM's configuration"}


@transaction.atomic
def _record(machine: Machine, proofs: dict[str, Any], *, fork: str) -> None:
    if not Event.objects.filter(subject=machine.subject, kind=KIND, data__fork=fork).exists():
        project_id = machine.project_id
        events.record(
            KIND, subject=machine.subject, project_id=project_id, handle=machine.handle, fork=fork, **proofs
        )


def _source_devices(work: Work) -> dict[str, str]:
    try:
        return _devices(driver().config(work.machine.source.guest.vm))
    except (errors.Missing, errors.Refused):  # it is gone, and this one comes from its backup
        return {}


def _devices(config: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in config.items() if re.fullmatch(r"net\d+", name)}


def _addresses(devices: Mapping[str, str]) -> dict[str, str]:
    found = {name: _MAC.search(text) for name, text in devices.items()}
    return {name: match[1].upper() for name, match in found.items() if match}


def _without_address(text: str) -> str:
    """The device without its MAC address: Proxmox makes one up (qemu-server: parse_net)."""
    rest = re.sub(r",?macaddr=[0-9A-Fa-f:]{17}", "", text).lstrip(",")
    return re.sub(r"^(\w+)=(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}", r"\1", rest)


def _noted(work: Work) -> dict[str, Any]:
    return dict(work.operation.arguments.get("addresses") or {})


def _note(work: Work, addresses: dict[str, Any]) -> None:
    work.operation.note(arguments={**work.operation.arguments, "addresses": addresses})
