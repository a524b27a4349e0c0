"""What a console asks of Proxmox, and how it is told that there is none, or no longer.

The only code of the web process that calls Proxmox: a console is a connection, which no worker could hand over.
It blocks: call it in a thread.
"""

from typing import NamedTuple

from machines.models import Machine
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import VM, Console, Power


class Ending(NamedTuple):
    """Why a console is not open, or no longer: a word for the page's script, and a sentence for people."""

    why: str
    sentence: str


def ask(machine: Machine) -> Console | Ending:
    """A new console of the machine's VM; or why it has none."""
    vm = machine.guest.vm
    try:
        power = driver().observe(vm).power
        return driver().console(vm) if power is Power.RUNNING else _not_on(machine, power)
    except errors.Missing:
        return Ending("off", f"There is no VM {vm.vmid} now: it is still being made, or was destroyed.")
    except errors.ProxmoxError as error:
        return Ending("lost", str(error))


def what_became_of(vm: VM) -> Ending:
    """Why Proxmox ended a console."""
    try:
        power = driver().observe(vm).power
    except errors.Missing:
        return Ending("off", f"VM {vm.vmid} is no longer there.")
    except errors.ProxmoxError as error:
        return Ending("lost", f"The connection to Proxmox was lost. {error}")
    if power is Power.RUNNING:
        return Ending("ended", "The session ended. The VM is still on.")
    return Ending("off", f"VM {vm.vmid} was switched off.")


def _not_on(machine: Machine, power: Power) -> Ending:
    handle, vm = machine.handle, f"VM {machine.guest.vmid}"
    if power is Power.STOPPED:
        state = f"{vm} is switched off, so it has no console."
    elif power is Power.UNKNOWN:
        state = f"It is not known whether {vm} is on: its node does not say."
    else:
        state = f"{vm} is frozen, so nothing would answer."
    if "resume" in machine.verbs:
        way = f"Resume {handle} first."
    elif "rollback" in machine.verbs and power is Power.STOPPED:
        way = f"Roll {handle} back to one of its checkpoints, or branch from one, to go on."
    else:
        way = "Try again in a moment."
    return Ending("off", f"{state} {way}")
