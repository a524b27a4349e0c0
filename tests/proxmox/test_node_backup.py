"""Backups: self-contained archives that really bring a guest back, and jobs that wait for each other."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.node_process import start_node
from tests.proxmox.conftest import Api
from tests.proxmox.test_node_power import until

VMIDS = itertools.count(1100)


def back_up(api: Api, vmid: int, **sent: Any) -> str:
    """Back a guest up; the archive's volume id."""
    asked = {"storage": "local", "mode": "snapshot", "compress": "zstd", "remove": 0} | sent
    api.done(api.post("vzdump", vmid=vmid, **asked))
    return max(backups(api, vmid, asked["storage"]))


def backups(api: Api, vmid: int, storage: str = "local") -> list[str]:
    return [row["volid"] for row in api.get(f"storage/{storage}/content", content="backup", vmid=vmid)]


def log(api: Api, upid: str) -> list[str]:
    return [row["t"] for row in api.get(f"tasks/{upid}/log", limit=500)]


class TestBackUp:
    def test_it_comes_back_under_another_vmid(self, api: Api) -> None:
        api.clone(1000)
        api.start(1000)
        api.out(
            1000, "echo kept > /workspace/a; mkdir /workspace/d; head -c 9000000 /dev/zero > /workspace/zeros"
        )
        volume = back_up(api, 1000, notes_template="{{guestname}} of {{vmid}}")
        (row,) = api.get("storage/local/content", content="backup", vmid=1000)
        assert row["notes"] == "Copy-of-VM-autovibe-base of 1000"
        api.done(api.post("qemu", vmid=1001, archive=volume, unique=1, name="restored"))
        api.start(1001)
        assert api.out(1001, "cat /workspace/a; ls -d /workspace/d; wc -c < /workspace/zeros") == (
            "kept\n/workspace/d\n9000000\n"
        )
        original, restored = api.get("qemu/1000/config"), api.get("qemu/1001/config")
        assert restored["name"] == "restored"
        assert restored["net0"] != original["net0"]
        assert "lock" not in restored
        assert api.get("qemu/1000/status/current")["status"] == "running"

    def test_it_outlives_the_guest_and_the_content_store(self, api: Api) -> None:
        api.clone(1002)
        (api.disk(1002) / "workspace/only").write_text("only in the archive")
        volume = back_up(api, 1002)
        api.done(api.delete("qemu/1002"))
        api.done(api.post("qemu", vmid=1002, archive=volume))
        assert (api.disk(1002) / "workspace/only").read_text() == "only in the archive"

    def test_a_vmid_in_use_needs_force(self, api: Api) -> None:
        api.clone(1003)
        volume = back_up(api, 1003)
        answer = api.call("POST", "qemu", vmid=1003, archive=volume)
        assert answer.reason == "unable to restore VM 1003 - VM 1003 already exists on node 'embedded'"
        (api.disk(1003) / "workspace/later").write_text("gone after this")
        api.done(api.post("qemu", vmid=1003, archive=volume, force=1))
        assert not (api.disk(1003) / "workspace/later").exists()
        api.start(1003)
        ended = api.ended(api.post("qemu", vmid=1003, archive=volume, force=1))
        assert ended == "unable to restore VM 1003 - vm is running"
        assert api.out(1003, "echo untouched") == "untouched\n"

    def test_failures_are_job_errors_with_the_reason_in_the_log(self, api: Api) -> None:
        upid = api.post("vzdump", vmid=99999, storage="local")
        assert api.ended(upid) == "job errors"
        lines = [row["t"] for row in api.get(f"tasks/{upid}/log")]
        assert "ERROR: Backup of VM 99999 failed - unable to find VM '99999'" in lines

    def test_a_protected_archive_is_not_removed(self, api: Api) -> None:
        api.clone(1004)
        volume = back_up(api, 1004, protected=1)
        ended = api.ended(api.delete(f"storage/local/content/{volume}"))
        assert ended == f"cannot remove protected volume '{volume.removeprefix('local:')}' on 'local'"
        api.put(f"storage/local/content/{volume}", protected=0)
        api.done(api.delete(f"storage/local/content/{volume}"))
        assert api.get("storage/local/content", vmid=1004) == []

    @pytest.mark.parametrize(
        ("compress", "suffix"), [("0", ".vma"), ("gzip", ".vma.gz"), ("zstd", ".vma.zst")]
    )
    def test_its_name_tells_how_it_is_packed(self, api: Api, compress: str, suffix: str) -> None:
        vmid, other = next(VMIDS), next(VMIDS)
        api.clone(vmid)
        (api.disk(vmid) / "workspace/a").write_text("packed")
        volume = back_up(api, vmid, compress=compress)
        assert volume.endswith(suffix)
        api.done(api.post("qemu", vmid=other, archive=volume))
        assert (api.disk(other) / "workspace/a").read_text() == "packed"

    def test_notes_know_some_variables_and_refuse_others(self, api: Api) -> None:
        vmid = next(VMIDS)
        api.clone(vmid, name="subject")
        volume = back_up(api, vmid, notes_template=r"{{guestname}} on {{node}}\n{{cluster}}: {{vmid}}")
        notes = api.get(f"storage/local/content/{volume}")["notes"]
        assert notes == f"subject on embedded\nstandalone node: {vmid}"
        answer = api.call("POST", "vzdump", vmid=vmid, storage="local", **{"notes-template": "{{nope}}"})
        assert answer.json()["errors"]["notes-template"] == "found unknown: variable 'nope' at char 2\n"

    def test_a_damaged_archive_is_refused(self, api: Api) -> None:
        api.clone(1005)
        (api.disk(1005) / "workspace/a").write_bytes(bytes(range(256)) * 400)
        volume = back_up(api, 1005)
        archive = api.node.state / "dump" / volume.rpartition("/")[2]
        archive.write_bytes(archive.read_bytes()[:-40])
        assert "is damaged" in api.ended(api.post("qemu", vmid=1006, archive=volume))

    def test_an_unknown_archive_does_not_exist(self, api: Api) -> None:
        missing = "local:backup/vzdump-qemu-1-2020_01_01-00_00_00.vma.zst"
        assert (
            api.call("POST", "qemu", vmid=1007, archive=missing).reason
            == f"volume '{missing}' does not exist"
        )

    def test_a_restore_that_fails_leaves_a_vm_without_disks_or_the_old_one_as_it_was(self, api: Api) -> None:
        vmid, other = next(VMIDS), next(VMIDS)
        api.clone(vmid)
        volume = back_up(api, vmid)
        api.fault(match="POST */qemu", action="fail-task", reason="got stuck")
        upid = api.post("qemu", vmid=other, archive=volume)
        assert api.ended(upid) == "got stuck"
        assert log(api, upid)[-2].endswith(f"VM {other} state is NOT cleaned up.")
        assert api.get(f"qemu/{other}/config").keys() == {"digest"}
        before = api.get(f"qemu/{vmid}/config")
        api.fault(match="POST */qemu", action="fail-task", reason="got stuck")
        assert api.ended(api.post("qemu", vmid=vmid, archive=volume, force=1)) == "got stuck"
        assert api.get(f"qemu/{vmid}/config") == before
        api.start(vmid)

    def test_a_locked_or_protected_vm_is_not_overwritten(self, api: Api) -> None:
        vmid = next(VMIDS)
        api.clone(vmid)
        volume = back_up(api, vmid)
        api.put(f"qemu/{vmid}/config", protection=1)
        ended = api.ended(api.post("qemu", vmid=vmid, archive=volume, force=1))
        assert ended == f"unable to restore VM {vmid} - protection mode enabled"
        api.fault(action="lock", vmid=vmid, lock="backup")
        answer = api.call("POST", "qemu", vmid=vmid, archive=volume, force=1)
        assert answer.reason == f"unable to restore VM {vmid} - VM is locked (backup)"

    def test_only_what_must_be_unique_is_new_unless_all_of_it_is_to_be(self, api: Api) -> None:
        vmid, other = next(VMIDS), next(VMIDS)
        api.clone(vmid)
        volume = back_up(api, vmid)
        api.done(api.post("qemu", vmid=other, archive=volume))
        old, new = api.get(f"qemu/{vmid}/config"), api.get(f"qemu/{other}/config")
        assert (old["net0"], old["smbios1"]) == (new["net0"], new["smbios1"])
        assert old["vmgenid"] != new["vmgenid"]

    def test_a_template_comes_back_as_one(self, api: Api) -> None:
        vmid, other, clone = next(VMIDS), next(VMIDS), next(VMIDS)
        api.clone(vmid)
        (api.disk(vmid) / "workspace/a").write_text("seed")
        api.done(api.post(f"qemu/{vmid}/template"))
        api.done(api.post("qemu", vmid=other, archive=back_up(api, vmid)))
        assert api.get(f"qemu/{other}/config")["scsi0"].startswith(f"local-lvm:base-{other}-disk-0")
        api.clone(clone, source=other, full=0)
        assert (api.disk(clone) / "workspace/a").read_text() == "seed"

    def test_its_configuration_can_be_read(self, api: Api) -> None:
        vmid = next(VMIDS)
        api.clone(vmid, name="subject", description="first line\nsecond")
        lines = api.get("vzdump/extractconfig", volume=back_up(api, vmid)).splitlines()
        assert lines[:2] == ["#first line", "#second"]
        assert "name: subject" in lines
        assert lines[-1] == "#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:"

    def test_it_starts_in_a_task_of_its_own(self, api: Api) -> None:
        vmid, other = next(VMIDS), next(VMIDS)
        api.clone(vmid)
        upid = api.post("qemu", vmid=other, archive=back_up(api, vmid), start=1)
        api.done(upid)
        assert "Execute autostart" in log(api, upid)
        until(lambda: api.get(f"qemu/{other}/status/current")["status"] == "running")


class TestJob:
    def test_nobody_to_save_is_fine(self, api: Api) -> None:
        api.post("/pools", poolid="empty")
        assert api.post("vzdump", pool="empty", storage="local") == "OK"
        answer = api.call("POST", "vzdump", storage="local")
        assert answer.json()["errors"] == {"vmid": "property is missing"}

    def test_one_that_cannot_be_saved_does_not_keep_others_from_it(self, api: Api) -> None:
        vmid, locked = next(VMIDS), next(VMIDS)
        api.clone(vmid)
        api.clone(locked)
        api.fault(action="lock", vmid=locked, lock="snapshot")
        upid = api.post("vzdump", vmid=f"{locked},{vmid}", storage="local")
        assert ":vzdump::" in upid
        assert api.ended(upid) == "job errors"
        assert f"ERROR: Backup of VM {locked} failed - VM is locked (snapshot)" in log(api, upid)
        assert api.get(f"qemu/{locked}/config")["lock"] == "snapshot"
        assert len(backups(api, vmid)) == 1

    def test_a_storage_that_does_not_take_backups_fails_in_the_task(self, api: Api) -> None:
        for storage, reason in (
            ("nosuch", "storage 'nosuch' does not exist"),
            ("local-lvm", "can't use storage 'local-lvm' for backups - wrong content type"),
        ):
            ended = api.ended(api.post("vzdump", vmid=9000, storage=storage))
            assert ended == f"could not get storage information for '{storage}': {reason}"

    def test_it_tells_what_it_does(self, api: Api) -> None:
        vmid = next(VMIDS)
        api.clone(vmid, name="subject")
        api.start(vmid)
        upid = api.post("vzdump", vmid=vmid, storage="local", compress="zstd", mode="snapshot")
        api.done(upid)
        lines = log(api, upid)
        assert lines[0].startswith(f"INFO: starting new backup job: vzdump {vmid} --")
        assert [line for line in lines if "agent" in line] == [
            "INFO: issuing guest-agent 'fs-freeze' command",
            "INFO: issuing guest-agent 'fs-thaw' command",
        ]
        order = [
            "Starting Backup",
            "status = running",
            "VM Name: subject",
            "include disk 'scsi0'",
            "mode: snapshot",
        ]
        order += ["ionice priority: 7", "creating vzdump archive '/var/lib/vz/dump/", "archive file size"]
        order += ["Finished Backup", "Backup job finished successfully"]
        at = [next(n for n, line in enumerate(lines) if words in line) for words in order]
        assert at == sorted(at)
        assert re.fullmatch(r"INFO: Finished Backup of VM \d+ \(00:00:\d\d\)", lines[-4])

    def test_a_guest_that_is_to_stop_for_it_is_on_again(self, api: Api) -> None:
        vmid = next(VMIDS)
        api.clone(vmid)
        api.start(vmid)
        pid = api.get(f"qemu/{vmid}/status/current")["pid"]
        upid = api.post("vzdump", vmid=vmid, storage="local", mode="stop")
        api.done(upid)
        assert "INFO: stopping virtual guest" in log(api, upid)
        status = api.get(f"qemu/{vmid}/status/current")
        assert status["status"] == "running"
        assert status["pid"] != pid

    def test_one_job_at_a_time(self, api: Api) -> None:
        vmid, other = next(VMIDS), next(VMIDS)
        api.clone(vmid)
        api.clone(other)
        api.fault(match="POST */vzdump", action="slow-task", seconds=30)
        first = api.post("vzdump", vmid=vmid, storage="local")
        until(lambda: "lock" in api.get(f"qemu/{vmid}/config"))
        second = api.post("vzdump", vmid=other, storage="local")
        until(lambda: log(api, second) == ["INFO: trying to get global lock - waiting..."])
        api.delete(f"tasks/{first}")
        assert api.ended(first) == "interrupted by signal"
        api.done(second)
        assert log(api, second)[1] == "INFO: got global lock"

    def test_one_that_is_cancelled_leaves_no_lock_and_no_archive(self, api: Api) -> None:
        vmid = next(VMIDS)
        api.clone(vmid)
        (api.disk(vmid) / "workspace/big").write_bytes(bytes(range(256)) * 4096)
        upid = api.post("vzdump", vmid=vmid, storage="local", bwlimit=1)
        until(lambda: any("started backup task" in line for line in log(api, upid)))
        assert api.get(f"qemu/{vmid}/status/current")["lock"] == "backup"
        assert api.ended(api.post(f"qemu/{vmid}/snapshot", snapname="s1")) == "VM is locked (backup)"
        api.delete(f"tasks/{upid}")
        assert api.ended(upid) == "interrupted by signal"
        lines = log(api, upid)
        assert f"ERROR: Backup of VM {vmid} failed - interrupted by signal" in lines
        assert lines[-2:] == [
            "ERROR: Backup job failed - interrupted by signal",
            "TASK ERROR: interrupted by signal",
        ]
        assert "lock" not in api.get(f"qemu/{vmid}/config")
        assert backups(api, vmid) == []
        assert not list((api.node.state / "dump").glob(f"vzdump-qemu-{vmid}-*"))


class TestStorages:
    """Every directory that holds backups has its own."""

    @pytest.fixture(scope="class")
    def several(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
        storages = ("lvmthin", "nfs1=qcow2", "qcow2-chain")
        with start_node(tmp_path_factory.mktemp("node"), storage=storages) as running:
            api = Api(running)
            api.clone(100)
            yield api

    def test_a_backup_is_where_it_was_sent_and_comes_back_from_there(self, several: Api) -> None:
        (several.disk(100) / "workspace/a").write_text("kept elsewhere")
        upid = several.post("vzdump", vmid=100, storage="nfs1", compress="zstd", remove=0)
        several.done(upid)
        assert any("archive '/var/lib/nfs1/dump/vzdump-" in line for line in log(several, upid))
        (volume,) = backups(several, 100, "nfs1")
        assert volume.startswith("nfs1:backup/vzdump-qemu-100-")
        assert backups(several, 100) == []
        assert "name: " in several.get("vzdump/extractconfig", volume=volume)
        upid = several.post("qemu", vmid=101, archive=volume)
        several.done(upid)
        assert "zstd -q -d -c /var/lib/nfs1/dump/" in log(several, upid)[0]
        assert (several.disk(101) / "workspace/a").read_text() == "kept elsewhere"
        same_name = volume.replace("nfs1:", "local:")
        answer = several.call("POST", "qemu", vmid=102, archive=same_name)
        assert answer.reason == f"volume '{same_name}' does not exist"

    def test_it_is_looked_at_protected_pruned_and_removed_there(self, several: Api) -> None:
        here = back_up(several, 100)
        first, second = (back_up(several, 100, storage="nfs1") for _ in range(2))
        several.put(f"storage/nfs1/content/{second}", notes="good", protected=1)
        looked = several.get(f"storage/nfs1/content/{second}")
        assert (looked["notes"], looked["protected"]) == ("good", 1)
        assert looked["path"] == f"/var/lib/nfs1/dump/{second.rpartition('/')[2]}"
        keep = {"prune-backups": "keep-last=1"}
        third = back_up(several, 100, storage="nfs1")
        marks = {row["volid"]: row["mark"] for row in several.get("storage/nfs1/prunebackups", **keep)}
        assert (marks[first], marks[second], marks[third]) == ("remove", "protected", "keep")
        several.done(several.delete("storage/nfs1/prunebackups", **keep))
        assert backups(several, 100, "nfs1") == [second, third]
        several.done(several.delete(f"storage/nfs1/content/{third}"))
        assert backups(several, 100, "nfs1") == [second]
        assert here in backups(several, 100)

    def test_a_directory_that_was_added_takes_them_too(self, several: Api) -> None:
        several.post("/storage", storage="late", type="dir", path="/mnt/late", content="backup")
        assert back_up(several, 100, storage="late").startswith("late:backup/")

    @pytest.mark.parametrize("storage", ["local-lvm", "local-chain"])
    def test_one_without_that_content_refuses_them(self, several: Api, storage: str) -> None:
        ended = several.ended(several.post("vzdump", vmid=100, storage=storage))
        assert ended.endswith(f"can't use storage '{storage}' for backups - wrong content type")
        answer = several.call("GET", f"storage/{storage}/prunebackups", **{"prune-backups": "keep-all=1"})
        assert answer.reason == f"storage '{storage}' does not support backups"

    def test_names_of_archives_mean_nothing_on_a_storage_without_files(self, several: Api) -> None:
        name = "backup/vzdump-qemu-100-2020_01_01-00_00_00.vma.zst"
        unreadable = f"unable to parse lvm volume name '{name}'"
        assert several.call("GET", f"storage/local-lvm/content/{name}").reason == unreadable
        assert several.call("POST", "qemu", vmid=103, archive=f"local-lvm:{name}").reason == unreadable
