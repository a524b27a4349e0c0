"""What storages can do: the table against the embedded node's, and the rows that are easily got wrong."""

import pytest

from proxmox.node.personalities import PERSONALITIES
from proxmox.storage_kinds import Branch, abilities


@pytest.mark.parametrize("name", PERSONALITIES)
def test_the_embedded_node_behaves_as_the_table_says(name):
    node = PERSONALITIES[name]
    can = abilities(node.plugin, chain=node.chain, image_format=node.image_format)

    assert (can.links_snapshots, can.copies_snapshots, can.rolls_back_any) == (
        node.links_snapshots,
        node.copies_snapshots,
        node.rolls_back_any,
    )
    assert can.snapshot
    assert can.template


@pytest.mark.parametrize(
    ("kind", "branch"),
    [
        ("lvmthin", Branch.LINKED),
        ("rbd", Branch.LINKED),
        ("nfs", Branch.COPY),
        ("btrfs", Branch.COPY),  # its linked clone from a snapshot is of the present state
        ("zfspool", Branch.FREEZE),
        ("lvm", None),
        ("pbs", None),
        ("a plug-in of somebody", None),
    ],
)
def test_the_best_way_to_branch(kind, branch):
    assert abilities(kind).branch == branch


def test_a_disk_that_is_not_qcow2_has_no_snapshots_among_files():
    raw = abilities("dir", image_format="raw")

    assert not raw.snapshot
    assert raw.template
    assert abilities("lvmthin", image_format="raw").snapshot


class TestVolumeChains:
    def test_only_the_newest_snapshot_is_rolled_back_to(self):
        assert not abilities("dir", chain=True).rolls_back_any
        assert abilities("dir", chain=True).copies_snapshots

    def test_thick_lvm_learns_snapshots_but_no_templates(self):
        can = abilities("lvm", chain=True)

        assert can.snapshot
        assert can.branch == Branch.COPY
        assert not can.template

    def test_raw_disks_are_as_without(self):
        assert abilities("lvm", chain=True, image_format="raw") == abilities("lvm")
        assert abilities("nfs", chain=True, image_format="raw") == abilities("nfs", image_format="raw")


def test_backups_can_be_kept_among_files_and_at_a_backup_server():
    assert {
        kind for kind in ("dir", "nfs", "cephfs", "pbs", "lvmthin", "zfspool") if abilities(kind).backups
    } == {
        "dir",
        "nfs",
        "cephfs",
        "pbs",
    }
