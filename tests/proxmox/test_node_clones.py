"""Cloning: identity, locks, refusals, and what a clone that does not get done leaves behind."""

import re
from concurrent.futures import ThreadPoolExecutor

from tests.proxmox.conftest import Api


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
        with ThreadPoolExecutor(8) as threads:
            answers = list(
                threads.map(lambda _: Api(api.node).call("POST", "qemu/9000/clone", newid=803), range(8))
            )
        assert sorted(answer.status_code for answer in answers) == [200] + [500] * 7

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
        api.put("qemu/808/config", cores=3)
        api.snapshot(808, "s1")
        api.put("qemu/808/config", cores=4)
        api.clone(809, source=808, snapname="s1", full=0)
        assert api.get("qemu/809/config")["cores"] == 3

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
        assert api.get("qemu/820/config")["lock"] == "clone"
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
        answer = api.call("POST", "qemu/824/clone", newid=826)
        assert answer.reason == "can't lock file '/var/lock/qemu-server/lock-824.conf' - got timeout"
        api.delete(f"tasks/{upid}")
        api.ended(upid)


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
