"""Configuring a VM: pending changes, digests, sizes of disks and what happens when one is full."""

import time
from pathlib import Path

from tests.node_process import start_node
from tests.proxmox.conftest import SECONDS, Api


class TestResize:
    def test_sizes_are_absolute_or_added(self, api: Api) -> None:
        api.clone(910)
        api.done(api.put("qemu/910/resize", disk="scsi0", size="8G"))
        api.done(api.put("qemu/910/resize", disk="scsi0", size="+512M"))
        assert api.get("qemu/910/config")["scsi0"].endswith("size=8704M")
        assert (
            api.ended(api.put("qemu/910/resize", disk="scsi7", size="+1G")) == "disk 'scsi7' does not exist"
        )


class TestConfigure:
    def test_what_a_running_guest_cannot_take_over_is_pending(self, api: Api) -> None:
        api.clone(920)
        api.start(920)
        api.put("qemu/920/config", memory=4096, description="at once")
        assert api.get("qemu/920/config")["memory"] == "4096"
        assert api.get("qemu/920/config", current=1)["memory"] == "2048"
        assert api.get("qemu/920/config", current=1)["description"] == "at once"
        assert {"key": "memory", "value": "2048", "pending": "4096"} in api.get("qemu/920/pending")
        api.stop(920)
        api.start(920)
        assert api.get("qemu/920/config", current=1)["memory"] == "4096"

    def test_another_writer_is_noticed_by_the_digest(self, api: Api) -> None:
        api.clone(921)
        digest = api.get("qemu/921/config")["digest"]
        api.put("qemu/921/config", cores=4, digest=digest)
        answer = api.call("PUT", "qemu/921/config", cores=5, digest=digest)
        assert answer.reason == "checksum mismatch (file change by other user?)"

    def test_the_asynchronous_form_is_a_task(self, api: Api) -> None:
        api.clone(922)
        api.done(api.post("qemu/922/config", cores=4))
        assert api.get("qemu/922/config")["cores"] == 4
        assert api.call("PUT", "qemu/922/config").reason == "no options specified"

    def test_a_vm_can_be_made_from_nothing(self, api: Api) -> None:
        api.done(
            api.post("qemu", vmid=923, name="new", scsi0="local-lvm:2", net0="virtio,bridge=vmbr0", agent="1")
        )
        config = api.get("qemu/923/config")
        assert config["scsi0"] == "local-lvm:vm-923-disk-0,size=2G"
        assert config["net0"].startswith("virtio=BC:24:11:")
        answer = api.call("POST", "qemu", vmid=923)
        assert answer.reason == "unable to create VM 923 - VM 923 already exists on node 'embedded'"
        assert (
            api.call("POST", "qemu", vmid=924, scsi0="nosuch:1").reason == "storage 'nosuch' does not exist"
        )
        api.start(923)
        assert api.out(923, "ls /workspace") == ""


class TestDiskLimit:
    def test_a_guest_that_fills_its_disk_is_frozen_until_the_disk_grows(self, tmp_path: Path) -> None:
        with start_node(tmp_path, disk_check_seconds=0.05) as node:
            api = Api(node)
            api.done(api.post("qemu", vmid=100, agent="1", scsi0="local-lvm:0.01"))
            api.start(100)
            api.out(
                100,
                "(setsid sh -c 'head -c 20000000 /dev/urandom > workspace/big; sleep 60' >/dev/null 2>&1 &)",
            )
            self.until(api, "io-error")
            assert api.get("qemu/100/status/current")["status"] == "running"
            assert (
                api.ended(api.put("qemu/100/resize", disk="scsi0", size="1M"))
                == "shrinking disks is not supported"
            )
            api.done(api.put("qemu/100/resize", disk="scsi0", size="1G"))
            api.done(api.post("qemu/100/status/resume"))
            self.until(api, "running")
            assert api.out(100, "echo on") == "on\n"

    def until(self, api: Api, status: str) -> None:
        deadline = time.monotonic() + SECONDS
        while api.get("qemu/100/status/current")["qmpstatus"] != status:
            assert time.monotonic() < deadline
            time.sleep(0.02)
