"""Whether Proxmox still has what a checkpoint lives in: its snapshot and its backup."""

from checkpoints.models import Checkpoint
from checkpoints.taking import backups
from proxmox import errors
from proxmox.connect import driver
from proxmox.storage_kinds import Branch


def fault_in(checkpoint: Checkpoint, *, of_backup: bool = False) -> str:
    """What is wrong with its snapshot, or with its backup if that is to be used; "" when all is as it should be.

    Raises `ProxmoxError` when all depends on the backup, and that is not to be found now.
    """
    holder = checkpoint.holder
    missing = _missing_backup(holder) if holder.backup else ""
    if of_backup or checkpoint.branching.strategy == Branch.BACKUP:
        if missing:
            raise errors.ProxmoxError(missing)
        return ""
    try:
        return _fault_in_snapshot(checkpoint)
    except errors.Missing:
        if driver().locate(checkpoint.guest.vmid):  # it was moved, and the hub will see it
            raise
        return f"VM {checkpoint.guest.vmid} is gone from Proxmox."


def _missing_backup(holder: Checkpoint) -> str:
    """Why its backup cannot be used now; "" when it is there, or has been missed for so long that it is given up."""
    there = _backup_is_there(holder)
    if there is None:
        backups.unseen(holder)
        return backups.UNSEEN.format(holder.backup)
    if there:
        backups.seen(holder)
    elif backups.missed(holder):
        holder.backup = ""
    else:
        return backups.MISSED.format(holder.backup)
    return ""


def _backup_is_there(holder: Checkpoint) -> bool | None:
    """Whether any node has it, as its guest may have moved since; None when not all could be asked."""
    name = holder.backup.partition(":")[0]
    places = [one for one in driver().storages() if one.name == name]
    active = [one for one in places if one.active]
    if any(_lists(one.node, holder) for one in active):
        return True
    if any(one.shared for one in active):
        return False
    everywhere = bool(active) and active == places and all(one.online for one in driver().nodes())
    return False if everywhere else None


def _lists(node: str, holder: Checkpoint) -> bool:
    found = driver().backups(node, holder.backup.partition(":")[0])
    return any(one.volume == holder.backup and str(holder.id) in one.notes for one in found)


def _fault_in_snapshot(checkpoint: Checkpoint) -> str:
    vm, name = checkpoint.guest.vm, checkpoint.snapshot
    if not name:
        driver().config(vm)
        return ""
    found = next((one for one in driver().snapshots(vm) if one.name == name), None)
    if found is None:
        return f"VM {vm.vmid} has no snapshot {name} any more."
    if not found.complete:
        return f"Snapshot {name} of VM {vm.vmid} is incomplete."
    if str(checkpoint.holder.id) not in found.description:
        return (
            f"Snapshot {name} of VM {vm.vmid} is another one: its description does not name the checkpoint."
        )
    return ""
