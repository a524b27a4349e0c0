"""Who may use which volume (pve-storage: PVE::Storage, check_volume_access)."""

import re
from typing import TYPE_CHECKING

from proxmox.node.access.accounts import ROOT
from proxmox.node.errors import Failure

if TYPE_CHECKING:
    from proxmox.node.host import Host

_BACKUP = re.compile(r"(?:backup/)?vzdump-(?:qemu|lxc)-(\d+)-.*")
_DISK = re.compile(r"(?:.*/)?(?:vm|base)-(\d+)-.*")


def owner_of_backup(name: str) -> int:
    """The VMID in a backup's name; 0 for anything else."""
    match = _BACKUP.fullmatch(name)
    return int(match[1]) if match else 0


def check_volume(host: "Host", who: str, volume: str, *, vmid: int = 0) -> None:
    """Raises `Failure` (mostly 403) for a volume that somebody may not use; a VM may use its own (`vmid`)."""
    if who == ROOT:
        return
    storage, separator, name = volume.partition(":")
    if not separator:
        raise Failure("Only root can pass arbitrary filesystem paths.")
    path = f"/storage/{storage}"
    if host.permissions.allows(who, path, "Datastore.Allocate"):
        return
    if name.startswith(("iso/", "vztmpl/", "import/", "snippets/")):
        host.permissions.check_any(who, path, "Datastore.AllocateSpace", "Datastore.Audit")
    elif owner := owner_of_backup(name):
        host.permissions.check(who, path, "Datastore.AllocateSpace")
        host.permissions.check(who, f"/vms/{owner}", "VM.Backup")
    else:
        _check_disk(host, who, volume, vmid)


def usable(host: "Host", who: str, volume: str) -> bool:
    """Whether somebody may use a volume, and so is shown it."""
    try:
        check_volume(host, who, volume)
    except Failure:
        return False
    return True


def _check_disk(host: "Host", who: str, volume: str, vmid: int) -> None:
    storage, _, name = volume.partition(":")
    match = _DISK.fullmatch(name)
    if not match:
        raise Failure(f"missing privileges to access {volume}")
    if int(match[1]) != vmid:
        host.permissions.check(who, f"/storage/{storage}", "Datastore.Audit")
        host.permissions.check(who, f"/vms/{match[1]}", "VM.Config.Disk")
