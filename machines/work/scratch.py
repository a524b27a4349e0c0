"""Scratch guests: a checkpoint's state in a guest of its own, without network, for a proof or an export.

They are rows of the project like any other guest, belong to no machine, and are destroyed at the end in every case:
whoever makes one condemns it in the transaction that ends its operation, and an operation that was begun does end.
The guest that the state comes from is locked by nobody; only Proxmox holds it, while it makes the clone.
"""

import re
from datetime import datetime
from typing import Protocol

from django.conf import settings

from checkpoints.models import Checkpoint
from guests import making
from guests.models import Guest, Source
from machines.size import CORES, MEMORY_MIB
from operations.engine import Outcome
from operations.slots import Slots
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import Power
from proxmox.storage_kinds import Branch

_NETWORK_DEVICE = re.compile(r"net\d+")


class HasScratch(Protocol):
    """What the steps below need of a plan's context."""

    @property
    def checkpoint(self) -> Checkpoint: ...
    @property
    def scratch(self) -> Guest: ...
    @property
    def source(self) -> Source: ...
    @property
    def asked_at(self) -> datetime: ...


def rewind(work: HasScratch) -> Outcome:
    return making.rewind(work.source)


def slots(work: HasScratch) -> Slots:
    return making.clone_slots(work.source)


def clone(work: HasScratch) -> Outcome:
    """Ask for the copy. Raises `Unsupported` where that would hold up the machine.

    Proxmox keeps a VM that is on locked until a full copy of it is made (qemu-server: API2/Qemu.pm, clone_vm); no
    checkpoint of its machine could be taken meanwhile.
    """
    source = work.source
    if source.branching.strategy == Branch.COPY and not source.guest.template:
        power = driver().observe(source.guest.vm).power
        if power != Power.STOPPED:
            raise errors.Unsupported(
                f"{source.guest.storage} copies the whole disk, and no checkpoint of VM {source.guest.vmid} could be "
                "taken meanwhile. It can be done once the machine has ended, or from a backup."
            )
    handle, slug = work.checkpoint.handle, work.checkpoint.project.slug
    return making.clone(
        work.scratch,
        source,
        name=f"scratch-{work.scratch.vmid}",
        description=f"autovibe scratch guest for {handle} of project {slug}",
        pool=settings.PROXMOX_POOL,
    )


def look_for_clone(work: HasScratch) -> bool | str:
    return making.look_for_clone(work.scratch, work.source, work.asked_at.timestamp())


def mark(work: HasScratch) -> Outcome:
    return making.mark(work.scratch, cores=CORES, memory_mib=MEMORY_MIB)


def cut_off(work: HasScratch) -> Outcome:
    """Take its network devices away before it is started, and prove that none is left.

    No firewall has to be trusted then: what holds the token of a living machine can tell nobody.
    """
    vm = work.scratch.vm
    if devices := _network_devices(driver().config(vm)):
        driver().configure(vm, {"delete": ",".join(devices)})
    if left := _network_devices(driver().config(vm)):
        raise errors.Refused(f"VM {vm.vmid} still has a network ({', '.join(left)}), so it was not started.")
    return None


def _network_devices(config: dict[str, str]) -> list[str]:
    return sorted(key for key in config if _NETWORK_DEVICE.fullmatch(key))
