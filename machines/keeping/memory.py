"""Checkpoints with the guest's memory: what they take of the storage, and where there can be none."""

from typing import NamedTuple

from django.conf import settings

from machines.models import Machine
from machines.size import MEMORY_MIB
from machines.states import State
from projects.errors import Conflict

MIB = 1024**2
EMBEDDED = (
    "Guests of the embedded node are processes, whose memory cannot be saved. Take the checkpoint without it: "
    "agents go on from their transcripts."
)


class Price(NamedTuple):
    """What a checkpoint with memory costs, and what it is good for; `possible` with the reason where it is not."""

    possible: bool
    bytes: int
    sentence: str


def price(machine: Machine) -> Price:
    """What a checkpoint of the machine's memory would take now."""
    if refusal := _refusal(machine):
        return Price(False, 0, refusal)
    return Price(True, saved_bytes(), _sentence())


def saved_bytes() -> int:
    """What Proxmox sets aside for the memory: twice its size and 500 MiB (qemu-server: QemuConfig.pm)."""
    return (2 * MEMORY_MIB + 500) * MIB


def require_saveable(machine: Machine) -> None:
    """Raises `Conflict` where the memory cannot be saved, before anything is begun."""
    if refusal := _refusal(machine):
        raise Conflict(refusal)


def _refusal(machine: Machine) -> str:
    if is_embedded():
        return EMBEDDED
    if machine.state != State.RUNNING:
        state = machine.get_state_display().lower()
        return f"Machine {machine.handle} is {state}; only of a running one the memory can be saved."
    return ""


def is_embedded() -> bool:
    """Whether the settings name the embedded node: Proxmox VE itself is never without TLS (pve-manager: pveproxy)."""
    return settings.PROXMOX_URL.startswith("http://")


def _sentence() -> str:
    return (
        f"The memory takes up to {saved_bytes() / 1024**3:.1f} GiB of the storage. The guest's file systems are not "
        "frozen meanwhile. Only this machine can return to the memory; a branch begins with the disk alone."
    )
