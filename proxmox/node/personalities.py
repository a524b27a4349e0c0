"""Which storage the node behaves like: names of volumes, and what that storage can do with snapshots.

The table is Proxmox's own (pve-storage: `volume_has_feature` and `volume_rollback_is_possible` of each plugin).
All three are the same directories underneath.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Personality:
    storage: str  # its name
    plugin: str
    content: str
    image: str  # volume of a VM's disk
    base: str  # volume of a template's disk
    linked: str  # volume of a linked clone's disk, `{base}` being the template's
    image_format: str
    links_snapshots: bool  # linked clone from a snapshot of an ordinary VM
    copies_snapshots: bool  # full clone from a snapshot
    rolls_back_any: bool  # rollback to other than the newest snapshot
    guards_bases: bool  # a template cannot be deleted while linked clones use it

    def volume(self, vmid: int, number: int = 0) -> str:
        """Volume id of a VM's disk."""
        return f"{self.storage}:{self.image.format(vmid=vmid, number=number)}"

    def base_volume(self, vmid: int, number: int = 0) -> str:
        """Volume id of that disk once the VM is a template."""
        return f"{self.storage}:{self.base.format(vmid=vmid, number=number)}"

    def linked_volume(self, vmid: int, base: str, number: int = 0) -> str:
        """Volume id of a linked clone of the volume `base`."""
        name = base.partition(":")[2]
        return f"{self.storage}:{self.linked.format(vmid=vmid, number=number, base=name)}"


_QCOW2 = "{vmid}/vm-{vmid}-disk-{number}.qcow2"
_BLOCK = "vm-{vmid}-disk-{number}"

PERSONALITIES = {
    "lvmthin": Personality(
        storage="local-lvm",
        plugin="lvmthin",
        content="images,rootdir",
        image=_BLOCK,
        base="base-{vmid}-disk-{number}",
        linked=_BLOCK,
        image_format="raw",
        links_snapshots=True,
        copies_snapshots=True,
        rolls_back_any=True,
        guards_bases=False,
    ),
    "qcow2": Personality(
        storage="local",
        plugin="dir",
        content="images,rootdir,backup,iso,vztmpl,snippets",
        image=_QCOW2,
        base="{vmid}/base-{vmid}-disk-{number}.qcow2",
        linked="{base}/" + _QCOW2,
        image_format="qcow2",
        links_snapshots=False,
        copies_snapshots=True,
        rolls_back_any=True,
        guards_bases=True,
    ),
    "zfs": Personality(
        storage="local-zfs",
        plugin="zfspool",
        content="images,rootdir",
        image=_BLOCK,
        base="base-{vmid}-disk-{number}",
        linked="{base}/" + _BLOCK,
        image_format="raw",
        links_snapshots=False,
        copies_snapshots=False,
        rolls_back_any=False,
        guards_bases=True,
    ),
}
