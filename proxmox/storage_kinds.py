"""What each kind of Proxmox storage can do with snapshots, copies and templates, as data.

Source: pve-storage, `volume_has_feature` and `volume_rollback_is_possible` of the plugin named beside each row. What a
storage does in a given cluster can be less (content types, a missing thin pool): the driver's `supports` asks that.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class Branch(StrEnum):
    """How a new VM is made from a checkpoint, the cheapest first."""

    LINKED = "linked"  # a linked clone from the snapshot: at once, shares its blocks
    COPY = "copy"  # a full clone from the snapshot: minutes, and as much space as the disk
    FREEZE = "freeze"  # the VM stays at the checkpoint for good; branches are made of it as it is
    BACKUP = "backup"  # restored from a backup taken with the checkpoint


@dataclass(frozen=True, slots=True)
class Abilities:
    """What can be done with a VM disk on a storage, and whether backups can be kept there."""

    snapshot: bool = False
    rolls_back_any: bool = False  # to an older snapshot too, not to the newest only
    links_snapshots: bool = False  # linked clone from a snapshot of an ordinary VM
    copies_snapshots: bool = False  # full clone from such a snapshot
    holds_clones: bool = False  # a snapshot cannot be deleted while linked clones of it are there
    template: bool = False  # can hold a template, and linked clones of it
    backups: bool = False

    @property
    def branches_snapshots(self) -> bool:
        """Whether any snapshot of a machine can become another machine. Its template has to fit there as well."""
        return self.template and (self.links_snapshots or self.copies_snapshots)

    @property
    def branch(self) -> Branch | None:
        """The best way to branch from a checkpoint on this storage alone; None leaves a backup, if one was taken."""
        if self.links_snapshots:
            return Branch.LINKED
        if self.copies_snapshots:
            return Branch.COPY
        return Branch.FREEZE if self.snapshot and self.template else None


_NOTHING = Abilities()
_THIN = Abilities(
    snapshot=True, rolls_back_any=True, links_snapshots=True, copies_snapshots=True, template=True
)
_QCOW2 = Abilities(snapshot=True, rolls_back_any=True, copies_snapshots=True, template=True, backups=True)
_ZFS = Abilities(snapshot=True, template=True)
_BACKUPS = Abilities(backups=True)

# Kinds whose disks are files: their format decides. Disks that are not qcow2 have no snapshots there.
_FILES = frozenset({"dir", "nfs", "cifs", "glusterfs"})  # DirPlugin, NFSPlugin, CIFSPlugin, GlusterfsPlugin

_KINDS = {
    **dict.fromkeys(_FILES, _QCOW2),
    "lvmthin": _THIN,  # LvmThinPlugin
    "rbd": replace(_THIN, holds_clones=True),  # RBDPlugin: `rbd snap unprotect` fails while children exist
    "zfspool": _ZFS,  # ZFSPoolPlugin: `copy` has no `snap`, rollback is to the newest snapshot
    "zfs": _ZFS,  # ZFSPlugin: ZFS over iSCSI
    # BTRFSPlugin says that it links snapshots, but clone_image ignores the snapshot and clones the present state.
    "btrfs": _QCOW2,
    "lvm": _NOTHING,  # LVMPlugin, thick; see `_chained`
    "cephfs": _BACKUPS,  # CephFSPlugin: holds no disks
    "pbs": _BACKUPS,  # PBSPlugin
    # iscsi, iscsidirect and esxi: disks only to be copied from.
}


def abilities(kind: str, chain: bool = False, image_format: str = "") -> Abilities:
    """What a storage of that kind (`dir`, `lvmthin`, …) can do; nothing for one that is not known.

    `chain` is its option `snapshot-as-volume-chain` (Proxmox VE 9). `image_format` is that of the disk asked about
    (`raw`, `qcow2`); empty means the one that can do most there.
    """
    known = _KINDS.get(kind, _NOTHING)
    if chain:
        return _chained(kind, known, image_format)
    if kind in _FILES and image_format not in {"", "qcow2"}:
        return Abilities(template=True, backups=True)
    return known


def _chained(kind: str, known: Abilities, image_format: str) -> Abilities:
    """Snapshots as volumes of their own: only the newest is rolled back to (Plugin.pm, LVMPlugin.pm)."""
    if image_format not in {"", "qcow2"}:
        return abilities(kind, image_format=image_format)
    if kind == "lvm":
        return Abilities(snapshot=True, copies_snapshots=True)
    return replace(known, rolls_back_any=False)
