"""Cloning: identity, locks, refusals, and what a clone that does not get done leaves behind."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.node_process import start_node
from tests.proxmox.conftest import Api
from tests.proxmox.test_node_power import until


class TestClone:
    def test_it_has_an_identity_of_its_own(self, api: Api) -> None:
        api.clone(800, name="c800", description="ours: 800")
        template, config = api.get("qemu/9000/config"), api.get("qemu/800/config")
        assert all(template[key] != config[key] for key in ("net0", "smbios1", "vmgenid"))
        assert re.fullmatch(r"virtio=BC:24:11(:[0-9A-F]{2}){3},bridge=vmbr0", config["net0"])
        assert (config["name"], config["description"]) == ("c800", "ours: 800")
        assert config["scsi0"] == "local-lvm:vm-800-disk-0,size=4G"
        assert not config.keys() & {"template", "lock", "parent"}

    def test_the_name_tells_where_it_comes_from(self, api: Api) -> None:
        api.clone(801)
        assert api.get("qemu/801/config")["name"] == "Copy-of-VM-autovibe-base"

    def test_a_vmid_is_taken_once(self, api: Api) -> None:
        api.clone(802)
        answer = api.call("POST", "qemu/9000/clone", newid=802)
        assert (answer.status_code, answer.reason) == (
            500,
            "unable to create VM 802: config file already exists",
        )

    def test_of_many_that_want_one_vmid_one_gets_it(self, api: Api) -> None:
        """Some are refused at once; others find out in their task, and then the VM is not theirs to clean up."""

        def attempt(_: int) -> str:
            mine = Api(api.node)
            answer = mine.call("POST", "qemu/9000/clone", newid=803)
            return mine.ended(answer.json()["data"]) if answer.status_code == 200 else answer.reason

        with ThreadPoolExecutor(8) as threads:
            ends = list(threads.map(attempt, range(8)))
        assert ends.count("OK") == 1
        assert set(ends) - {"OK"} <= {
            "unable to create VM 803: config file already exists",
            "can't lock file '/var/lock/qemu-server/lock-803.conf' - got timeout",
        }
        assert "lock" not in api.get("qemu/803/config")

    def test_snapshots_stay_behind(self, api: Api) -> None:
        api.clone(804)
        api.snapshot(804, "s1")
        api.clone(805, source=804, snapname="s1", full=0)
        assert [row["name"] for row in api.get("qemu/805/snapshot")] == ["current"]

    def test_a_running_guest_can_be_copied(self, api: Api) -> None:
        api.clone(806)
        api.start(806)
        api.write(806, "/workspace/a", "live")
        api.clone(807, source=806)
        api.start(807)
        assert api.read(807, "/workspace/a") == "live"

    def test_the_configuration_is_the_snapshots(self, api: Api) -> None:
        api.clone(808)
        api.put("qemu/808/config", cores=3, description="before")
        api.done(api.post("qemu/808/snapshot", snapname="s1", description="then"))
        api.put("qemu/808/config", cores=4, description="now")
        api.clone(809, source=808, snapname="s1", full=0)
        config = api.get("qemu/809/config")
        assert (config["cores"], config["description"]) == (3, "then")

    def test_refusals_come_before_a_task(self, api: Api) -> None:
        api.clone(810)
        for source, sent, reason in (
            (99999, {}, "unable to find configuration file for VM 99999 on node 'embedded'"),
            (810, {"full": 0}, "Linked clone feature is not supported for 'local-lvm:vm-810-disk-0' (scsi0)"),
            (810, {"snapname": "nosnap"}, "snapshot 'nosnap' does not exist"),
            (9000, {"storage": "local-lvm"}, "parameter 'storage' not allowed for linked clones"),
            (9000, {"storage": "nosuch", "full": 1}, "storage 'nosuch' does not exist"),
            (9000, {"target": "pve9"}, "no such cluster node 'pve9'"),
        ):
            assert api.call("POST", f"qemu/{source}/clone", newid=811, **sent).reason == reason

    def test_its_template_may_be_made_of_it(self, api: Api) -> None:
        api.clone(812)
        (api.disk(812) / "workspace/seed").write_text("seed")
        api.done(api.post("qemu/812/template"))
        assert api.call("POST", "qemu/812/template").reason == "you can't convert a template to a template"
        api.clone(813, source=812)
        assert (api.disk(813) / "workspace/seed").read_text() == "seed"


class TestWhileItRuns:
    def test_the_target_is_there_and_locked(self, api: Api) -> None:
        api.fault(match="POST */clone", action="slow-task", seconds=30)
        upid = api.post("qemu/9000/clone", newid=820)
        wait_for_lock(api, 820)
        assert api.get("qemu/820/config")["description"] == " qmclone temporary file"
        assert api.call("PUT", "qemu/820/config", cores=1).reason == "VM is locked (clone)"
        assert api.get(f"tasks/{upid}/status")["status"] == "running"
        api.delete(f"tasks/{upid}")
        assert api.ended(upid) == "clone failed: interrupted by signal"
        assert api.call("GET", "qemu/820/config").status_code == 500
        assert not api.disk(820).exists()

    def test_other_clones_of_a_guest_that_is_off_go_on_and_everything_else_waits_in_vain(
        self, api: Api
    ) -> None:
        api.clone(821)
        api.fault(match="POST */clone", action="slow-task", seconds=30)
        upid = api.post("qemu/821/clone", newid=822)
        api.clone(823, source=821)
        reason = "can't lock file '/var/lock/qemu-server/lock-821.conf' - got timeout"
        assert api.call("PUT", "qemu/821/config", cores=1).reason == reason
        start = api.post("qemu/821/status/start")
        assert api.ended(start) == reason
        assert api.get(f"tasks/{start}/log")[0]["t"] == "trying to acquire lock..."
        api.delete(f"tasks/{upid}")
        api.ended(upid)
        api.start(821)

    def test_a_running_guest_is_cloned_by_one_at_a_time(self, api: Api) -> None:
        api.clone(824)
        api.start(824)
        api.fault(match="POST */clone", action="slow-task", seconds=30)
        upid = api.post("qemu/824/clone", newid=825)
        ended = api.ended(api.post("qemu/824/clone", newid=826))
        assert ended == "can't lock file '/var/lock/qemu-server/lock-824.conf' - got timeout"
        assert api.call("GET", "qemu/826/config").status_code == 500
        api.delete(f"tasks/{upid}")
        api.ended(upid)

    def test_the_targets_file_is_locked_as_well(self, api: Api) -> None:
        api.fault(match="POST */clone", action="slow-task", seconds=30)
        upid = api.post("qemu/9000/clone", newid=827)
        wait_for_lock(api, 827)
        ended = api.ended(api.post("qemu/827/status/start"))
        assert ended == "can't lock file '/var/lock/qemu-server/lock-827.conf' - got timeout"
        api.delete(f"tasks/{upid}")
        api.ended(upid)

    def test_8_4_waits_for_the_file_where_9_2_looks_at_the_lock_first(self, tmp_path: Path) -> None:
        with start_node(tmp_path, release="8.4", lock_seconds=0.3, faults=True) as node:
            api = Api(node)
            api.fault(match="POST */clone", action="slow-task", seconds=30)
            upid = api.post("qemu/9000/clone", newid=100)
            wait_for_lock(api, 100)
            reason = "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"
            assert api.call("PUT", "qemu/100/config", cores=1).reason == reason
            api.delete(f"tasks/{upid}")

    def test_it_joins_its_pool_last(self, api: Api) -> None:
        api.post("/pools", poolid="ours")
        api.fault(match="POST */clone", action="slow-task", seconds=30)
        upid = api.post("qemu/9000/clone", newid=828, pool="ours")
        wait_for_lock(api, 828)
        assert api.get("/pools/ours")["members"] == []
        api.delete(f"tasks/{upid}")
        api.ended(upid)
        api.clone(828, pool="ours")
        assert [row["vmid"] for row in api.get("/pools/ours")["members"]] == [828]


class TestStorageLock:
    REASON = "clone failed: can't lock file '/var/lock/pve-manager/pve-storage-local-lvm' - got timeout"

    def test_allocations_on_a_storage_wait_for_each_other_and_not_for_ever(self, tmp_path: Path) -> None:
        """As on the real one: of many clones of one template at once, some come too late."""
        with start_node(tmp_path, alloc_seconds=0.4, storage_lock_seconds=1) as node:
            api = Api(node)
            upids = [api.post("qemu/9000/clone", newid=vmid) for vmid in range(100, 108)]
            ends = [api.ended(upid) for upid in upids]
            assert set(ends) == {"OK", self.REASON}
            assert 2 <= ends.count("OK") <= 4
            made = {row["vmid"] for row in api.get("qemu")} - {9000}
            assert made == {100 + at for at, end in enumerate(ends) if end == "OK"}
            lines = [row["t"] for row in api.get(f"tasks/{upids[ends.index(self.REASON)]}/log")]
            assert lines[-2:] == ["trying to acquire lock...", f"TASK ERROR: {self.REASON}"]

    def test_few_at_a_time_all_get_done(self, tmp_path: Path) -> None:
        with start_node(tmp_path, alloc_seconds=0.1, storage_lock_seconds=1) as node:
            with ThreadPoolExecutor(2) as threads:
                list(threads.map(lambda vmid: Api(node).clone(vmid), range(100, 110)))
            assert len(Api(node).get("qemu")) == 11


def wait_for_lock(api: Api, vmid: int) -> None:
    """Until a clone is far enough that its target is there."""
    until(lambda: any(row["vmid"] == vmid and row.get("lock") == "clone" for row in api.get("qemu")))


class TestMany:
    def test_fifty_guests_start_at_once(self, api: Api) -> None:
        def spawn(vmid: int) -> str:
            mine = Api(api.node)
            mine.clone(vmid)
            mine.start(vmid)
            return mine.out(vmid, f"echo {vmid} > /workspace/me; cat /workspace/me")

        vmids = list(range(2000, 2050))
        with ThreadPoolExecutor(50) as threads:
            assert list(threads.map(spawn, vmids)) == [f"{vmid}\n" for vmid in vmids]
        for vmid in vmids:
            api.stop(vmid)
