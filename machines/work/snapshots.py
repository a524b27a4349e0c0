"""Whether Proxmox still has what a checkpoint lives in: its snapshot and its backup."""

from checkpoints import proofs
from checkpoints.models import Checkpoint
from proxmox import errors
from proxmox.connect import driver
from proxmox.storage_kinds import Branch


def fault_in(checkpoint: Checkpoint, *, of_backup: bool = False) -> str:
    """What is wrong with its snapshot, or with its backup if that is to be used; "" when all is as it should be.

    A backup that is gone is not claimed any more.
    """
    holder = checkpoint.holder
    backed_up = bool(holder.backup) and _backup_is_there(holder)
    if holder.backup and not backed_up:
        proofs.forget_backup(checkpoint)
        if of_backup:
            return f"Its backup {holder.backup} is gone."
        holder.backup = ""
    if of_backup or checkpoint.branching.strategy == Branch.BACKUP:
        return ""
    try:
        return _fault_in_snapshot(checkpoint)
    except errors.Missing:
        if driver().locate(checkpoint.guest.vmid):  # it was moved, and the hub will see it
            raise
        return f"VM {checkpoint.guest.vmid} is gone from Proxmox."


def _backup_is_there(holder: Checkpoint) -> bool:
    storage = holder.backup.partition(":")[0]
    found = driver().backups(holder.guest.node, storage)
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
