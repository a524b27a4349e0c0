"""How a worker makes a VM from another: by a clone or a restore, as was chosen, and looking when an answer was lost."""

from django.conf import settings

from guests import actions
from guests.locks import half_made
from guests.models import Guest, Source
from guests.states import State
from operations.engine import Later, Outcome
from operations.slots import Slots
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import MARK, Clone, Power
from proxmox.storage_kinds import Branch

NUMBER_SECONDS = 300  # for how long a free VMID is looked for


def clone_slots(source: Source) -> Slots:
    """A storage makes few disks at a time, and a VM bears few clones."""
    return storage_slots(source.guest) | {f"source:{source.guest.vmid}": settings.PROXMOX_CLONES_PER_SOURCE}


def storage_slots(guest: Guest) -> dict[str, int]:
    """What making or removing the guest's disk uses."""
    if not guest.storage:
        return {}
    return {f"storage:{guest.node}/{guest.storage}": settings.PROXMOX_CLONES_PER_STORAGE}


def rewind(source: Source) -> Outcome:
    """Put a source that is at rest back to its newest snapshot, where only its present can be copied."""
    if source.branching.strategy != Branch.FREEZE:
        return None
    source.guest.refresh_from_db(fields=["at_rest"])
    if not source.guest.at_rest or driver().observe(source.guest.vm).power != Power.STOPPED:
        raise errors.Refused(f"VM {source.guest.vmid} is in use again; its storage can only copy it at rest.")
    return driver().rollback(source.guest.vm, source.snapshot)


def clone(guest: Guest, source: Source, *, name: str, description: str, pool: str) -> Outcome:
    """Ask for the new VM, by the way that was chosen. A number that somebody else took is given up for the next.

    Raises `Unsupported` where the storage turns out to be able to do neither.
    """
    if source.branching.strategy is None:  # there was one when it was asked for
        raise errors.Unsupported(source.branching.sentence)
    description = f"{description}\n{guest.id}"
    try:
        if source.branching.strategy == Branch.BACKUP:
            return driver().restore(
                source.backup, guest.vm, name=name, description=description, pool=pool, storage=guest.storage
            )
        full = _is_full(source)
        snapshot = "" if source.branching.strategy == Branch.FREEZE else source.snapshot
        return driver().clone(Clone(source.guest.vm, snapshot, guest.vm, name, description, pool, full))
    except errors.Exists:
        return _another_number(guest)


def _another_number(guest: Guest) -> Outcome:
    try:
        if str(guest.id) in driver().config(guest.vm).get("description", ""):
            return None
    except errors.Refused:
        pass  # somebody else's, whom we may not even see
    taken = guest.vmid
    actions.renumber(guest)
    return Later(
        0, NUMBER_SECONDS, f"VMID {taken} and those after it are taken. Move PROXMOX_VMID_FIRST past them."
    )


def _is_full(source: Source) -> bool:
    """Whether a whole copy is made. Proxmox has the last word on links, where we would make one."""
    if source.branching.strategy != Branch.LINKED:
        return True
    vm = source.guest.vm
    if source.guest.template or driver().supports(vm, "clone", source.snapshot):
        return False
    if driver().supports(vm, "copy", source.snapshot):
        return True
    raise errors.Unsupported(
        f"The storage of VM {vm.vmid} can neither link nor copy a snapshot (ZFS cannot). "
        "Put the template on LVM-thin, Ceph RBD or qcow2 storage to branch from checkpoints."
    )


def look_for_clone(guest: Guest, source: Source, since: float) -> bool | str:
    """What became of a clone or restore whose answer was lost. Raises `Busy` while one may still be under way."""
    try:
        config = driver().config(guest.vm)
    except errors.Missing:
        config = {}
    if config and config.get("lock") not in {"clone", "create"} and _is_ours(guest, config):
        return True
    if source.branching.strategy == Branch.BACKUP:
        return _look_for_restore(guest, config, since)
    if config and config.get("lock") != "clone":
        actions.renumber(guest)
        return False
    # The task carries the source's VMID only, so a running one may be another's; then we look again.
    upid = driver().find_task(guest.node, "qmclone", source.guest.vmid, since)
    if upid and not driver().tasks([upid])[0].result:
        raise errors.Busy(f"A clone of VM {source.guest.vmid} is under way.")
    if config and driver().running_task(guest.vm, config.get("lock", "")):
        raise errors.Busy(f"VM {guest.vmid} is being made.")
    if config:
        raise errors.Stuck(half_made(guest))
    return False


def _look_for_restore(guest: Guest, config: dict[str, str], since: float) -> bool | str:
    upid = driver().find_task(guest.node, "qmrestore", guest.vmid, since)
    if not upid:
        if config:
            actions.renumber(guest)
        return False
    result = driver().tasks([upid])[0].result
    if not result:
        return upid
    if config.get("lock"):
        raise errors.Stuck(half_made(guest))
    if config:  # a restore that fails leaves half a VM, with nothing of ours on it
        raise errors.of_task(result)
    return False


def _is_ours(guest: Guest, config: dict[str, str]) -> bool:
    return str(guest.id) in config.get("description", "")


def mark(guest: Guest, *, cores: int, memory_mib: int) -> Outcome:
    """Put our tag and the size on the VM."""
    driver().configure(guest.vm, {"tags": MARK, "cores": cores, "memory": memory_mib, "agent": 1})
    if guest.state == State.ALLOCATED:
        guest.move(State.PRESENT)
    return None
