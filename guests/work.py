"""What a worker does to VMs: the steps that plans of machines and checkpoints are made of."""

import time
from dataclasses import dataclass

from django.conf import settings

from guests import actions
from guests.models import Guest, Source
from guests.states import State
from operations.engine import Later, Outcome, Plan, Step
from operations.models import Operation
from operations.slots import Slots
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import MARK, Clone, Power
from proxmox.storage_kinds import Branch

AGENT_SECONDS = 300  # from power-on until the guest agent answers
# A question to a guest that still boots keeps one of its node's API workers busy for 3 s; then others come first.
AGENT_PAUSE_SECONDS, AGENT_BUSY_SECONDS = 1.0, 3.0

# --- making one ---


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
    if not source.guest.at_rest or _power(source.guest) != Power.STOPPED:
        raise errors.Refused(f"VM {source.guest.vmid} is in use again; its storage can only copy it at rest.")
    return driver().rollback(source.guest.vm, source.snapshot)


def clone(guest: Guest, source: Source, *, name: str, description: str, pool: str) -> Outcome:
    """Ask for the new VM, by the way that was chosen. A number that somebody else took is given up for the next.

    Raises `Unsupported` where the storage turns out to be able to do neither.
    """
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
        0, AGENT_SECONDS, f"VMID {taken} and those after it are taken. Move PROXMOX_VMID_FIRST past them."
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


def half_made(guest: Guest) -> str:
    return (
        f"VM {guest.vmid} is half made and locked. On node {guest.node} run: "
        f"qm unlock {guest.vmid} && qm destroy {guest.vmid}"
    )


def mark(guest: Guest, *, cores: int, memory_mib: int) -> Outcome:
    """Put our tag and the size on the VM."""
    driver().configure(guest.vm, {"tags": MARK, "cores": cores, "memory": memory_mib, "agent": 1})
    if guest.state == State.ALLOCATED:
        guest.move(State.PRESENT)
    return None


# --- power ---


def start(guest: Guest) -> Outcome:
    """Power on; already running is success."""
    return None if _power(guest) == Power.RUNNING else driver().start(guest.vm)


def stop(guest: Guest) -> Outcome:
    """Power off at once; already off, or gone, is success."""
    try:
        return None if _power(guest) == Power.STOPPED else driver().stop(guest.vm)
    except errors.Missing:
        return None


def suspend(guest: Guest) -> Outcome:
    """Freeze in memory; already frozen is success."""
    return driver().suspend(guest.vm) if _power(guest) == Power.RUNNING else None


def wake(guest: Guest) -> Outcome:
    """Let a frozen guest go on, or power on a stopped one."""
    power = _power(guest)
    if power == Power.PAUSED:
        return driver().resume(guest.vm)
    return driver().start(guest.vm) if power == Power.STOPPED else None


def unfreeze(guest: Guest) -> Outcome:
    """Let a frozen guest go on; one that is off stays off."""
    return driver().resume(guest.vm) if _power(guest) == Power.PAUSED else None


def await_agent(guest: Guest) -> Outcome:
    """Wait until the guest agent answers."""
    asked = time.monotonic()
    if driver().agent_answers(guest.vm):
        return None
    waited = time.monotonic() - asked > 1
    return Later(
        AGENT_BUSY_SECONDS if waited else AGENT_PAUSE_SECONDS,
        AGENT_SECONDS,
        f"The guest agent of VM {guest.vmid} did not answer within {AGENT_SECONDS // 60} minutes. "
        "Does the template have qemu-guest-agent installed and enabled?",
    )


def is_gone(guest: Guest) -> bool:
    """Whether Proxmox itself, asked for the VM, knows none. A list leaves out what may not be seen, too."""
    try:
        driver().config(guest.vm)
    except errors.Missing:
        return True
    except errors.ProxmoxError:
        pass
    return False


def is_running(guest: Guest) -> bool:
    """Whether the guest is on and not frozen, asked of Proxmox now."""
    try:
        return _power(guest) == Power.RUNNING
    except errors.Missing:
        return False


def _power(guest: Guest) -> Power:
    return driver().observe(guest.vm).power


# --- locks ---


def blocked(*guests: Guest) -> str:
    """What an operator has to do about a lock that no task holds any more; "" while there is none such."""
    return next(filter(None, map(_blocked, guests)), "")


def _blocked(guest: Guest) -> str:
    try:
        lock = driver().config(guest.vm).get("lock", "")
    except errors.Missing:
        return ""
    if not lock or driver().running_task(guest.vm, lock):
        return ""
    return unlocking(guest, lock, surely=driver().sees_all_tasks(guest.node))


def unlocking(guest: Guest, lock: str, *, surely: bool) -> str:
    """How a lock is removed that a dead task has left: no API token may (qemu-server: "only root can set 'lock'").

    `surely`: that no task holds it. A token without `Sys.Audit` sees its own tasks only.
    """
    if lock in {"clone", "create"}:
        return half_made(guest)
    proof = (
        "no task works on it. On"
        if surely
        else "no task of ours works on it. If nobody else's does (see its task list in Proxmox), on"
    )
    return f"VM {guest.vmid} is locked ({lock}) and {proof} node {guest.node} run: qm unlock {guest.vmid}"


# --- the end of one ---


def claim(guest: Guest) -> Outcome:
    """Put our mark on a VM whose spawn ended before that; its description proves that it is ours.

    A restore that failed leaves a VM without any; its number is from our sequence, and it was free.
    """
    try:
        config = driver().config(guest.vm)
    except errors.Missing:
        return None
    if (lock := config.get("lock", "")) in {"clone", "create"}:
        if driver().running_task(guest.vm, lock):
            raise errors.Busy(f"VM {guest.vmid} is still being made.")
        raise errors.Stuck(half_made(guest))
    description, tags = config.get("description", ""), config.get("tags", "")
    if not description and not tags and guest.state == State.CONDEMNED:
        driver().configure(guest.vm, {"tags": MARK, "description": str(guest.id)})
    elif str(guest.id) in description and MARK not in tags:
        driver().configure(guest.vm, {"tags": MARK})
    return None


def destroy(guest: Guest) -> Outcome:
    """Remove the VM; gone already is success. One that has lost our mark is left to an operator."""
    try:
        return driver().destroy(guest.vm)
    except errors.Missing:
        return None
    except errors.NotOurs as error:
        raise errors.Stuck(
            f"{error} If it is to go, run on node {guest.node}: qm stop {guest.vmid}; "
            f"qm destroy {guest.vmid} --purge"
        ) from None


@dataclass
class Dropping:
    """A snapshot to be deleted."""

    guest: Guest
    snapshot: str


def _drop_snapshot(dropping: Dropping) -> Outcome:
    vm = dropping.guest.vm
    try:
        there = dropping.snapshot in {one.name for one in driver().snapshots(vm)}
    except errors.Missing:
        there = False
    return driver().delete_snapshot(vm, dropping.snapshot) if there else None


def _load(operation: Operation) -> Guest:
    return Guest.objects.get(pk=operation.arguments["guest"])


def _stays(guest: Guest, sentence: str) -> None:
    """The guest stays as it is; the operation says why."""


def _is_off(guest: Guest) -> None:
    """Nothing to write: what Proxmox reports of its power is copied by `observe`."""


DROP_SNAPSHOT: Plan[Dropping] = Plan(
    load=lambda operation: Dropping(_load(operation), operation.arguments["snapshot"]),
    steps=(Step("delete", "Deleting the snapshot", _drop_snapshot),),
    succeed=lambda dropping: None,
    fail=lambda dropping, sentence: None,
    blocked=lambda dropping: blocked(dropping.guest),
)

HALT: Plan[Guest] = Plan(
    load=_load,
    steps=(Step("stop", "Stopping the VM", stop),),
    succeed=_is_off,
    fail=_stays,
    blocked=blocked,
)

DESTROY: Plan[Guest] = Plan(
    load=_load,
    steps=(
        Step("claim", "Marking the VM", claim),
        Step("stop", "Stopping the VM", stop),
        Step("destroy", "Destroying the VM", destroy, slots=storage_slots),
    ),
    succeed=lambda guest: guest.move(State.GONE),
    fail=_stays,
    blocked=blocked,
)
