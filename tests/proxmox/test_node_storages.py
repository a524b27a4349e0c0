"""Several storages on one node, each with its own rules; disks that come, move and go; what the cluster knows when."""

import subprocess
import sys
from collections.abc import Container, Iterator
from pathlib import Path

import pytest

from tests.node_process import ROOT, start_node
from tests.proxmox.conftest import Api

KINDS = {"local-lvm": "lvmthin", "local": "dir", "tank": "zfspool", "local-chain": "dir"}


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A node with one storage of each kind."""
    storages = ("lvmthin", "qcow2", "tank=zfs", "qcow2-chain")
    with start_node(tmp_path_factory.mktemp("node"), storage=storages) as running:
        yield Api(running)


def create(api: Api, vmid: int, **config: object) -> None:
    api.done(api.post("qemu", vmid=vmid, **config))


def disk(api: Api, vmid: int, key: str = "scsi0") -> str:
    return str(api.get(f"qemu/{vmid}/config")[key]).partition(",")[0]


class TestStorages:
    def test_all_of_them_are_listed(self, several: Api) -> None:
        assert {row["storage"]: row["type"] for row in several.get("storage")} == KINDS
        assert several.get("/storage/local-chain")["snapshot-as-volume-chain"] == 1

    def test_content_chooses_those_that_hold_any_of_it(self, several: Api) -> None:
        holding = {row["storage"] for row in several.get("storage", content="iso,import")}
        assert holding == {"local"}

    def test_a_directory_is_added_used_and_forgotten(self, several: Api) -> None:
        several.post("/storage", storage="extra", type="dir", path="/mnt/extra", content="images")
        create(several, 110, scsi0="extra:1,format=qcow2")
        assert disk(several, 110) == "extra:110/vm-110-disk-0.qcow2"
        assert [row["volid"] for row in several.get("storage/extra/content")] == [disk(several, 110)]
        several.done(several.delete("qemu/110"))
        several.delete("/storage/extra")
        assert several.call("GET", "storage/extra/content").json()["errors"] == {
            "storage": "No such storage."
        }

    def test_only_a_storage_for_images_takes_disks(self, several: Api) -> None:
        several.post("/storage", storage="files", type="dir", path="/mnt/files", content="iso")
        answer = several.call("POST", "qemu", vmid=111, scsi0="files:1")
        assert answer.json()["errors"] == {"storage": "storage 'files' does not support vm images"}
        several.delete("/storage/files")

    def test_what_was_added_survives_a_restart(self, several: Api) -> None:
        with start_node(several.node.state.parent / "again") as first:
            Api(first).post("/storage", storage="kept", type="dir", path="/mnt/kept")
        with start_node(several.node.state.parent / "again") as second:
            assert Api(second).get("/storage/kept")["path"] == "/mnt/kept"


class TestRules:
    """`feature`, rollback and clones go by the storage that the disk is on."""

    @pytest.mark.parametrize(
        ("vmid", "new", "features"),
        [
            (120, "local-lvm:1", (1, 1, 1)),
            (121, "local:1,format=qcow2", (1, 0, 1)),
            (122, "local:1", (0, 0, 1)),
            (123, "tank:1", (1, 0, 0)),
            (124, "local-chain:1,format=qcow2", (1, 0, 1)),
        ],
    )
    def test_a_disk_has_the_features_of_its_storage(
        self, several: Api, vmid: int, new: str, features: tuple[int, int, int]
    ) -> None:
        create(several, vmid, scsi0=new)
        snapshot, clone, copy = features
        assert several.get(f"qemu/{vmid}/feature", feature="snapshot")["hasFeature"] == snapshot
        if snapshot:
            several.snapshot(vmid, "s1")
            asked = [
                several.get(f"qemu/{vmid}/feature", feature=each, snapname="s1")["hasFeature"]
                for each in ("clone", "copy")
            ]
            assert asked == [clone, copy]

    @pytest.mark.parametrize(("vmid", "new"), [(125, "tank:1"), (126, "local-chain:1,format=qcow2")])
    def test_some_go_back_to_the_newest_snapshot_only(self, several: Api, vmid: int, new: str) -> None:
        create(several, vmid, scsi0=new)
        several.snapshot(vmid, "s1")
        several.snapshot(vmid, "s2")
        refused = f"can't rollback, 's1' is not most recent snapshot on '{disk(several, vmid)}'"
        assert several.ended(several.post(f"qemu/{vmid}/snapshot/s1/rollback")) == refused
        several.done(several.post(f"qemu/{vmid}/snapshot/s2/rollback"))

    def test_one_raw_disk_among_others_forbids_snapshots(self, several: Api) -> None:
        create(several, 127, scsi0="local-lvm:1", scsi1="local:1")
        ended = several.ended(several.post("qemu/127/snapshot", snapname="s1"))
        assert ended == "snapshot feature is not available"


class TestDisks:
    def test_a_new_empty_disk_boots(self, several: Api) -> None:
        create(several, 130, scsi0="local-lvm:4", agent="1", memory=256)
        several.start(130)
        assert several.out(130, "ls /workspace; echo booted") == "booted\n"
        several.stop(130)

    def test_a_disk_moves_to_another_storage_with_its_files(self, several: Api) -> None:
        create(several, 131, scsi0="local-lvm:1")
        (several.disk(131) / "precious").write_text("kept")
        several.done(several.post("qemu/131/move_disk", disk="scsi0", storage="local", format="qcow2"))
        config = several.get("qemu/131/config")
        assert config["scsi0"].startswith("local:131/vm-131-disk-0.qcow2")
        assert config["unused0"] == "local-lvm:vm-131-disk-0"
        assert (several.disk(131) / "precious").read_text() == "kept"
        several.put("qemu/131/config", delete="unused0")
        assert "unused0" not in several.get("qemu/131/config")
        assert several.get("storage/local-lvm/content", vmid=131) == []

    def test_a_full_clone_may_go_to_another_storage(self, several: Api) -> None:
        create(several, 132, scsi0="local-lvm:1")
        several.clone(133, source=132, full=1, storage="tank")
        assert disk(several, 133) == "tank:vm-133-disk-0"

    def test_a_detached_disk_can_be_attached_again(self, several: Api) -> None:
        create(several, 134, scsi0="local-lvm:1")
        volume = disk(several, 134)
        several.put("qemu/134/config", delete="scsi0")
        assert several.get("qemu/134/config")["unused0"] == volume
        several.put("qemu/134/config", scsi1=volume)
        assert disk(several, 134, "scsi1") == volume
        assert "unused0" not in several.get("qemu/134/config")

    def test_a_volume_that_is_not_there_cannot_be_attached(self, several: Api) -> None:
        create(several, 135, scsi0="local-lvm:1")
        answer = several.call("PUT", "qemu/135/config", scsi1="local-lvm:vm-135-disk-7")
        assert answer.reason == "volume 'local-lvm:vm-135-disk-7' does not exist"

    def test_a_volume_without_a_vm_is_listed_until_it_is_deleted(self, several: Api) -> None:
        named = {"vmid": 136, "filename": "vm-136-disk-0", "size": "1G"}
        volume = several.post("storage/local-lvm/content", **named)
        assert several.get("storage/local-lvm/content", vmid=136)[0]["size"] == 1 << 30
        again = several.call("POST", "storage/local-lvm/content", **named)
        assert "already exists" in again.reason
        several.done(several.delete(f"storage/local-lvm/content/{volume}"))
        assert several.get("storage/local-lvm/content", vmid=136) == []

    def test_a_deletion_with_a_delay_answers_when_it_is_done(self, several: Api) -> None:
        volume = several.post("storage/local-lvm/content", vmid=137, filename="vm-137-disk-0", size="1G")
        assert several.delete(f"storage/local-lvm/content/{volume}", delay=10) is None

    def test_cloud_init_has_a_drive_and_a_dump(self, several: Api) -> None:
        create(several, 138, name="web", ide2="local-lvm:cloudinit", ciuser="dev", net0="virtio,bridge=vmbr0")
        assert several.get("qemu/138/config")["ide2"].startswith("local-lvm:vm-138-cloudinit,media=cdrom")
        several.put("qemu/138/cloudinit")
        assert "user: dev" in several.get("qemu/138/cloudinit/dump", type="user")


class TestStaleness:
    def test_a_new_vm_is_unknown_until_the_statistics_arrive(
        self, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        with start_node(tmp_path_factory.mktemp("node"), staleness_seconds=600) as running:
            api = Api(running)
            api.clone(100, name="new")
            rows = {row["vmid"]: row for row in api.get("/cluster/resources", type="vm")}
            assert rows[100]["status"] == "unknown"
            assert "name" not in rows[100]
            assert rows[9000]["name"] == "autovibe-base"
            assert api.get("qemu/100/status/current")["name"] == "new"

    def test_lock_tags_and_pool_are_always_current(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        with start_node(tmp_path_factory.mktemp("node"), staleness_seconds=600, faults=True) as running:
            api = Api(running)
            api.get("/cluster/resources")
            api.clone(100, name="new")
            api.post("/pools", poolid="own")
            api.put("/pools/own", vms="100,9000")
            for vmid in (100, 9000):
                api.put(f"qemu/{vmid}/config", tags="own", name="renamed")
                api.fault(action="lock", vmid=vmid, lock="backup")
            current = {"tags": "own", "pool": "own", "lock": "backup"}
            new, old = api.get("/cluster/resources", type="vm")
            assert new == unknown(100) | current
            assert current.items() <= old.items()
            assert old["name"] == "autovibe-base"
            assert api.get("/pools/own")["members"] == [unknown(100), without(old, current)]
            api.put("/pools/own", vms="9000", delete=1)
            assert api.get("/cluster/resources", type="vm")[1] == without(old, {"pool"})

    def test_of_a_node_that_is_away_its_vms_keep_tags_and_pool_but_not_their_state(
        self, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        with start_node(tmp_path_factory.mktemp("node"), faults=True) as running:
            api = Api(running)
            api.post("/pools", poolid="own")
            api.put("/pools/own", vms="9000")
            api.put("qemu/9000/config", tags="own")
            api.fault(action="node-down")
            known = {"tags": "own", "pool": "own"}
            assert api.get("/cluster/resources", type="vm") == [unknown(9000) | known]


def unknown(vmid: int) -> dict[str, object]:
    """All that there is of a VM without statistics, as recorded."""
    return {
        "type": "qemu",
        "id": f"qemu/{vmid}",
        "node": "embedded",
        "vmid": vmid,
        "status": "unknown",
    }


def without(row: dict[str, object], names: Container[str]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name not in names}


class TestCommandLine:
    """What `--storage` cannot mean is told like any other mistake on a command line."""

    @pytest.mark.parametrize(
        ("storages", "said"),
        [
            (("tank=btrfs",), "'btrfs' is no kind of storage: lvmthin, qcow2, qcow2-chain, zfs"),
            (("zfs", "local-zfs=zfs"), "two storages have the name 'local-zfs'"),
            (("../x=qcow2",), "storage ID '../x' contains illegal characters"),
        ],
    )
    def test_a_mistake_is_told_with_the_usage(
        self, tmp_path: Path, storages: tuple[str, ...], said: str
    ) -> None:
        words = [word for storage in storages for word in ("--storage", storage)]
        command = [sys.executable, "-m", "proxmox.node", "--state", str(tmp_path), *words]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
        assert ended.returncode == 2
        assert ended.stderr.startswith("usage:")
        assert ended.stderr.splitlines()[-1].endswith(f"error: argument --storage: {said}")
