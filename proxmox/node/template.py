"""The template that the first start makes, so that there is something to clone: an empty workspace."""

import logging

from proxmox.node.configs import Config
from proxmox.node.host import Host
from proxmox.node.identity import mac_address, new_uuid

VMID = 9000
MEMORY_MIB = 2048

logger = logging.getLogger(__name__)


def ensure(host: Host) -> None:
    """Make VM 9000 unless this node has VMs already."""
    if host.configs.all():
        return
    host.disks.create(VMID)
    (host.guests.disk(VMID) / "workspace").mkdir(exist_ok=True)
    host.disks.make_base(VMID, lambda: None)
    host.configs.save(VMID, Config(_values(host)))
    logger.info("Made the template autovibe-base, VM %d.", VMID)


def _values(host: Host) -> dict[str, str | int]:
    storage = host.storages.default
    disk = storage.base_of(storage.volume(VMID))
    return {
        "name": "autovibe-base",
        "template": 1,
        "agent": "1",
        "tags": "autovibe;template",
        "description": "What new machines are cloned from.",
        "cores": 2,
        "memory": str(MEMORY_MIB),
        "ostype": "l26",
        "scsihw": "virtio-scsi-single",
        "scsi0": f"{disk},size={host.options.disk_gib}G",
        "boot": "order=scsi0",
        "serial0": "socket",
        "net0": f"virtio={mac_address()},bridge=vmbr0",
        "smbios1": f"uuid={new_uuid()}",
        "vmgenid": new_uuid(),
    }
