"""What a worker does to VMs that are there: switch them, wait for their agent, remove them. Making is in `making`."""

import time
from dataclasses import dataclass

from guests.locks import blocked, half_made
from guests.making import storage_slots
from guests.models import Guest
from guests.states import State
from operations.engine import Later, Outcome, Plan, Step
from operations.models import Operation
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import MARK, Power, tags_of

AGENT_SECONDS = 300  # from power-on until the guest agent answers
# A question to a guest that still boots keeps one of its node's API workers busy for 3 s; then others come first.
AGENT_PAUSE_SECONDS, AGENT_BUSY_SECONDS = 1.0, 3.0

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
    description, tags = config.get("description", ""), tags_of(config.get("tags"))
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
