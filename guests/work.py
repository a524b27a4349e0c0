"""What a worker does to VMs: the steps that plans of machines and checkpoints are made of."""

from guests.models import Guest, Source
from guests.states import State
from operations.engine import Later, Outcome, Plan, Step
from operations.models import Operation
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import MARK, Clone, Power

AGENT_SECONDS = 300  # from power-on until the guest agent answers


def clone(guest: Guest, source: Source, *, name: str, description: str, pool: str) -> Outcome:
    """Ask for the clone, linked where the storage can. Raises `Unsupported` where it can do neither."""
    full = not _can_link(source)
    driver().ensure_pool(pool)
    return driver().clone(
        Clone(
            source=source.guest.vm,
            snapshot=source.snapshot,
            target=guest.vm,
            name=name,
            description=f"{description}\n{guest.id}",
            pool=pool,
            full=full,
        )
    )


def _can_link(source: Source) -> bool:
    if source.guest.template:
        return True
    vm = source.guest.vm
    if driver().supports(vm, "clone", source.snapshot):
        return True
    if driver().supports(vm, "copy", source.snapshot):
        return False
    raise errors.Unsupported(
        f"The storage of VM {vm.vmid} can neither link nor copy a snapshot (ZFS cannot). "
        "Put the template on LVM-thin, Ceph RBD or qcow2 storage to branch from checkpoints."
    )


def look_for_clone(guest: Guest, source: Source, since: float) -> bool:
    """Whether a clone whose answer was lost has been made. Raises `Busy` while one may still be under way."""
    try:
        config = driver().config(guest.vm)
    except errors.Missing:
        config = {}
    if config and config.get("lock") != "clone":
        if str(guest.id) not in config.get("description", ""):
            raise errors.NotOurs(
                f"VMID {guest.vmid} belongs to somebody else. Move PROXMOX_VMID_FIRST past it."
            )
        return True
    # The task carries the source's VMID only, so a running one may be another's; then we look again.
    upid = driver().find_task(guest.node, "qmclone", source.guest.vmid, since)
    if upid and not driver().tasks([upid])[0].result:
        raise errors.Busy(f"A clone of VM {source.guest.vmid} is under way.")
    if config:
        raise errors.Stuck(
            f"VM {guest.vmid} is half cloned and locked. On node {guest.node} run: "
            f"qm unlock {guest.vmid} && qm destroy {guest.vmid}"
        )
    return False


def mark(guest: Guest, *, cores: int, memory_mib: int) -> Outcome:
    """Put our tag and the size on the VM."""
    driver().configure(guest.vm, {"tags": MARK, "cores": cores, "memory": memory_mib, "agent": 1})
    if guest.state == State.ALLOCATED:
        guest.move(State.PRESENT)
    return None


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
    if driver().agent_answers(guest.vm):
        return None
    return Later(
        0.25,
        AGENT_SECONDS,
        f"The guest agent of VM {guest.vmid} did not answer within {AGENT_SECONDS // 60} minutes. "
        "Does the template have qemu-guest-agent installed and enabled?",
    )


def is_running(guest: Guest) -> bool:
    """Whether the guest is on and not frozen, asked of Proxmox now."""
    try:
        return _power(guest) == Power.RUNNING
    except errors.Missing:
        return False


def _power(guest: Guest) -> Power:
    return driver().observe(guest.vm).power


def claim(guest: Guest) -> Outcome:
    """Put our mark on a VM whose spawn ended before that; its description proves that it is ours."""
    try:
        config = driver().config(guest.vm)
    except errors.Missing:
        return None
    if str(guest.id) in config.get("description", "") and MARK not in config.get("tags", ""):
        driver().configure(guest.vm, {"tags": MARK})
    return None


def destroy(guest: Guest) -> Outcome:
    """Remove the VM; gone already is success."""
    try:
        return driver().destroy(guest.vm)
    except errors.Missing:
        return None


def _load(operation: Operation) -> Guest:
    return Guest.objects.get(pk=operation.arguments["guest"])


def _stays(guest: Guest, sentence: str) -> None:
    """The guest stays as it is; the operation says why."""


def _is_off(guest: Guest) -> None:
    """Nothing to write: what Proxmox reports of its power is copied by `observe`."""


HALT: Plan[Guest] = Plan(
    load=_load, steps=(Step("stop", "Stopping the VM", stop),), succeed=_is_off, fail=_stays
)

DESTROY: Plan[Guest] = Plan(
    load=_load,
    steps=(
        Step("claim", "Marking the VM", claim),
        Step("stop", "Stopping the VM", stop),
        Step("destroy", "Destroying the VM", destroy),
    ),
    succeed=lambda guest: guest.move(State.GONE),
    fail=_stays,
)
