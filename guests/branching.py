"""How a new guest is made from a checkpoint: the cheapest way that its storage has, or why there is none.

Pure choice from what is known of the storage; `guests.work` carries it out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxmox.storage_kinds import Abilities, Branch

if TYPE_CHECKING:
    from guests.models import Guest

GONE = "VM {} is gone from Proxmox, and no backup was taken."


@dataclass(frozen=True, slots=True)
class Branching:
    """The strategy, in words, and how many bytes it copies. Without a strategy the sentence says why."""

    strategy: Branch | None
    sentence: str
    copies_bytes: int = 0


def choose(guest: "Guest", snapshot: str, *, newest: Callable[[], bool], backup: str) -> Branching:
    """How to branch from `snapshot` of `guest` ("": a template as it is).

    `newest`: whether no later snapshot of the guest is there, asked where it matters. `backup`: volume of the
    checkpoint's backup, if one was taken.
    """
    if guest.gone:
        return from_backup(guest) if backup else Branching(None, GONE.format(guest.vmid))
    known = guest.abilities
    if known is None:  # not looked at yet; the worker asks Proxmox
        return Branching(Branch.LINKED, "A linked clone, if the storage can; else a full copy.")
    if not snapshot:
        return _of_template(guest, known)
    size = guest.disk_bytes
    if known.links_snapshots:
        return Branching(Branch.LINKED, f"A linked clone on {guest.storage}: at once, and shares its blocks.")
    if known.copies_snapshots:
        return Branching(Branch.COPY, f"A full copy on {guest.storage}: {_size(size)} are copied.", size)
    if guest.at_rest and newest():
        sentence = (
            f"{guest.storage} cannot clone from a snapshot. VM {guest.vmid} is at rest, so it is put back to this "
            f"checkpoint, its newest, and copied whole: {_size(size)}."
        )
        return Branching(Branch.FREEZE, sentence, size)
    if backup:
        return from_backup(guest)
    return Branching(None, _refusal(guest))


def from_backup(guest: "Guest") -> Branching:
    size = guest.disk_bytes
    return Branching(Branch.BACKUP, f"Restored from its backup: {_size(size)} are written.", size)


def _of_template(guest: "Guest", known: Abilities) -> Branching:
    if known.template:
        return Branching(Branch.LINKED, f"A linked clone of the template on {guest.storage}: at once.")
    size = guest.disk_bytes
    return Branching(Branch.COPY, f"A full copy of the template: {_size(size)} are copied.", size)


def _refusal(guest: "Guest") -> str:
    return (
        f"Storage {guest.storage} cannot clone from a snapshot, VM {guest.vmid} has gone on since, and no backup "
        "was taken. Branch from the machine's last checkpoint after it ended, or set PROXMOX_BACKUP_STORAGE so that "
        "checkpoints on request are backed up; LVM-thin, Ceph RBD and qcow2 storage branch from every checkpoint."
    )


def _size(size: int) -> str:
    return f"{size / 1024**3:.1f} GiB" if size else "its whole disk"
