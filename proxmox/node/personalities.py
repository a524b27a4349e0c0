"""What a storage behaves like: names of volumes, and what it can do with snapshots.

The table is Proxmox's own (pve-storage: `volume_has_feature` and `volume_rollback_is_possible` of each plugin).
All are the same directories underneath.
"""

import re
from dataclasses import dataclass
from typing import Any

from proxmox.node.errors import Failure

_OWNER = re.compile(r"(?:vm|base)-(\d+)-")
_FORMATS = ("raw", "qcow2", "vmdk")


@dataclass(frozen=True, slots=True)
class Personality:
    """One storage. Volumes are named as `storage:name`."""

    storage: str  # its name
    plugin: str
    content: str
    image: str  # volume of a VM's disk
    linked: str  # volume of a linked clone's disk, `{base}` being the template's
    image_format: str
    links_snapshots: bool  # linked clone from a snapshot of an ordinary VM
    copies_snapshots: bool  # full clone from a snapshot
    rolls_back_any: bool  # rollback to other than the newest snapshot
    guards_bases: bool  # a template cannot be deleted while linked clones use it
    path: str = ""  # of a directory: where its clients believe it to be
    chain: bool = False  # `snapshot-as-volume-chain`

    def holds(self, content: str) -> bool:
        """Whether it takes images, backup, iso, import, …"""
        return content in self.content.split(",")

    @property
    def takes_backups(self) -> bool:
        """Whether backup jobs may write to it, and prune it; what is there is found in any directory."""
        return bool(self.path) and self.holds("backup")

    def volume(self, vmid: int, number: int = 0, image_format: str = "") -> str:
        """Volume id of a VM's disk."""
        suffix = image_format or self.image_format
        return f"{self.storage}:{self.image.format(vmid=vmid, number=number, format=suffix)}"

    def base_of(self, volume: str) -> str:
        """Volume id of a disk once its VM is a template."""
        vmid = self.owner(volume)
        return f"base-{vmid}-".join(volume.rsplit(f"vm-{vmid}-", 1))

    def linked_volume(self, vmid: int, base: str, number: int = 0) -> str:
        """Volume id of a linked clone of the volume `base`."""
        parts = base.partition(":")[2].split("/")
        name = "/".join(parts[-2:] if self.path else parts[-1:])  # of a clone of a clone only the last
        return f"{self.storage}:{self.linked.format(vmid=vmid, number=number, base=name)}"

    def owner(self, volume: str) -> int:
        """The VMID in a volume's name. Raises `Failure` when there is none."""
        found = _OWNER.findall(volume)
        if not found:
            raise self.unreadable(volume.rpartition(":")[2])
        return int(found[-1])

    def format_of(self, volume: str) -> str:
        """raw, qcow2, …"""
        suffix = volume.rpartition(".")[2]
        return suffix if self.path and suffix in _FORMATS else "raw"

    def default_format(self, wanted: str = "") -> str:
        """The format of a new disk: a directory takes what is asked for, else raw; the others know only raw."""
        return (wanted or "raw") if self.path else ""

    def keeps_snapshots(self, volume: str) -> bool:
        """Whether a disk can have snapshots: in a directory only qcow2 can."""
        return not self.path or self.format_of(volume) == "qcow2"

    def filename(self, name: str) -> str:
        """Where a volume of a directory is said to be. `name` is a volume's without its storage."""
        return f"{self.path}/images/{name}"

    def unreadable(self, name: str) -> Failure:
        """What is said of a name that is no volume's."""
        kinds = {"dir": "directory", "zfspool": "zfs", "lvmthin": "lvm"}
        return Failure(f"unable to parse {kinds[self.plugin]} volume name '{name}'")

    def described(self) -> dict[str, Any]:
        """As /storage has it."""
        row: dict[str, Any] = {"storage": self.storage, "type": self.plugin, "content": self.content}
        row |= {"path": self.path} if self.path else {}
        return row | ({"snapshot-as-volume-chain": 1} if self.chain else {})


_QCOW2 = "{vmid}/vm-{vmid}-disk-{number}.qcow2"
_FILE = "{vmid}/vm-{vmid}-disk-{number}.{format}"
_BLOCK = "vm-{vmid}-disk-{number}"
FILES = "backup,import,iso,snippets,vztmpl"  # what only a directory holds


def directory(name: str, path: str, content: str, *, chain: bool = False) -> Personality:
    """A `dir` storage with qcow2 images."""
    return Personality(
        storage=name,
        plugin="dir",
        content=content,
        image=_FILE,
        linked="{base}/" + _QCOW2,
        image_format="qcow2",
        links_snapshots=False,
        copies_snapshots=True,
        rolls_back_any=not chain,
        guards_bases=True,
        path=path,
        chain=chain,
    )


PERSONALITIES = {
    "lvmthin": Personality(
        storage="local-lvm",
        plugin="lvmthin",
        content="images,rootdir",
        image=_BLOCK,
        linked=_BLOCK,
        image_format="raw",
        links_snapshots=True,
        copies_snapshots=True,
        rolls_back_any=True,
        guards_bases=False,
    ),
    "qcow2": directory("local", "/var/lib/vz", f"images,rootdir,{FILES}"),
    "qcow2-chain": directory("local-chain", "/var/lib/chain", "images", chain=True),
    "zfs": Personality(
        storage="local-zfs",
        plugin="zfspool",
        content="images,rootdir",
        image=_BLOCK,
        linked="{base}/" + _BLOCK,
        image_format="raw",
        links_snapshots=False,
        copies_snapshots=False,
        rolls_back_any=False,
        guards_bases=True,
    ),
}
