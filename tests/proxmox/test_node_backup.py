"""Backups: self-contained archives that really bring a guest back."""

from typing import Any

from tests.proxmox.conftest import Api


def back_up(api: Api, vmid: int, **sent: Any) -> str:
    """Back a guest up; the archive's volume id."""
    api.done(
        api.post("vzdump", vmid=vmid, storage="local", mode="snapshot", compress="zstd", remove=0, **sent)
    )
    return str(max(row["volid"] for row in api.get("storage/local/content", content="backup", vmid=vmid)))


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
