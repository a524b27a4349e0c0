"""Snapshots: a tree, rollback to what was, and what each storage can do."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node_process import start_node
from tests.proxmox.conftest import Api


@pytest.fixture(params=["lvmthin", "qcow2", "zfs"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Api]]:
    """A node of each personality."""
    with start_node(tmp_path, storage_type=request.param) as node:
        yield request.param, Api(node)


def tree(api: Api, vmid: int) -> dict[str, str]:
    """Each snapshot's parent, and that of the pseudo entry `current`."""
    return {row["name"]: row.get("parent", "") for row in api.get(f"qemu/{vmid}/snapshot")}


def contents(root: Path) -> dict[str, tuple[int, int, str]]:
    """Every path with its mode, time and content."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else ""
        found[str(path.relative_to(root))] = (status.st_mode, status.st_mtime_ns, content)
    return found


class TestTake:
    def test_snapshots_form_a_chain_that_ends_in_current(self, api: Api) -> None:
        api.clone(700)
        api.done(api.post("qemu/700/snapshot", snapname="s1", description="first\nof two"))
        api.snapshot(700, "s2")
        rows = {row["name"]: row for row in api.get("qemu/700/snapshot")}
        assert tree(api, 700) == {"s1": "", "s2": "s1", "current": "s2"}
        assert rows["s1"]["description"] == "first\nof two"
        assert rows["s1"]["vmstate"] == 0
        assert rows["current"]["description"] == "You are here!"

    def test_a_name_is_used_once(self, api: Api) -> None:
        api.clone(701)
        api.snapshot(701, "s1")
        assert api.ended(api.post("qemu/701/snapshot", snapname="s1")) == "snapshot name 's1' already used"

    def test_reserved_names_are_refused_before_a_task_starts(self, api: Api) -> None:
        api.clone(702)
        answer = api.call("POST", "qemu/702/snapshot", snapname="current")
        assert answer.reason == "unable to use snapshot name 'current' (reserved name)"

    def test_a_template_has_none(self, api: Api) -> None:
        assert (
            api.ended(api.post("qemu/9000/snapshot", snapname="s1"))
            == "you can't take a snapshot if it's a template"
        )

    def test_memory_of_a_running_guest_cannot_be_kept(self, api: Api) -> None:
        api.clone(703)
        api.start(703)
        ended = api.ended(api.post("qemu/703/snapshot", snapname="ram", vmstate=1))
        assert ended.startswith("Cannot live-migrate, snapshot (with RAM), or hibernate a VM")
        assert tree(api, 703) == {"current": ""}
        assert "lock" not in api.get("qemu/703/config")

    def test_a_description_can_be_changed(self, api: Api) -> None:
        api.clone(704)
        api.snapshot(704, "s1")
        api.put("qemu/704/snapshot/s1/config", description="better")
        assert api.get("qemu/704/snapshot/s1/config")["description"] == "better"


class TestRollBack:
    def test_the_disk_is_exactly_what_it_was(self, api: Api) -> None:
        api.clone(710)
        api.start(710)
        api.out(
            710,
            "cd /workspace; mkdir -p d/e; echo one > d/one; printf x > d/e/x; chmod 640 d/one; ln -s d/one link;"
            "touch -d 2001-01-01 d/e/x; : > empty; ln d/one hard; mkfifo pipe;"
            "head -c 6000000 /dev/urandom | base64 > big",
        )
        api.snapshot(710, "s1")
        api.stop(710)
        workspace = api.disk(710) / "workspace"
        before = {path: value for path, value in contents(workspace).items() if path != "pipe"}
        (workspace / "d/one").write_text("two")
        (workspace / "d/e/x").unlink()
        (workspace / "d/e/x").mkdir()
        (workspace / "d/e/x/deeper").write_text("new")
        (workspace / "link").unlink()
        (workspace / "link").write_text("a file now")
        (workspace / "empty").chmod(0o600)
        (workspace / "extra").mkdir()
        (workspace / "big").write_text("small")
        api.done(api.post("qemu/710/snapshot/s1/rollback"))
        assert contents(workspace) == before

    def test_the_guest_is_off_afterwards_unless_it_is_to_start(self, api: Api) -> None:
        api.clone(711)
        api.start(711)
        api.snapshot(711, "s1")
        api.done(api.post("qemu/711/snapshot/s1/rollback"))
        assert api.get("qemu/711/status/current")["status"] == "stopped"
        api.done(api.post("qemu/711/snapshot/s1/rollback", start=1))
        assert api.get("qemu/711/status/current")["status"] == "running"

    def test_the_configuration_goes_back_too(self, api: Api) -> None:
        api.clone(712)
        api.snapshot(712, "s1")
        api.put("qemu/712/config", cores=7, description="now", tags="later")
        api.snapshot(712, "s2")
        api.done(api.post("qemu/712/snapshot/s1/rollback"))
        config = api.get("qemu/712/config")
        assert (config["cores"], config["tags"], config["description"]) == (2, "autovibe;template", "now")
        assert tree(api, 712) == {"s1": "", "s2": "s1", "current": "s1"}

    def test_an_unknown_snapshot_fails_in_the_task(self, api: Api) -> None:
        api.clone(713)
        assert api.ended(api.post("qemu/713/snapshot/nosnap/rollback")) == "snapshot 'nosnap' does not exist"


class TestDelete:
    def test_children_get_their_grandparent(self, api: Api) -> None:
        api.clone(720)
        for name in ("s1", "s2", "s3"):
            api.snapshot(720, name)
        api.done(api.delete("qemu/720/snapshot/s2"))
        assert tree(api, 720) == {"s1": "", "s3": "s1", "current": "s3"}
        api.done(api.delete("qemu/720/snapshot/s3"))
        assert tree(api, 720) == {"s1": "", "current": "s1"}

    def test_an_unknown_one_fails_in_the_task(self, api: Api) -> None:
        api.clone(721)
        assert api.ended(api.delete("qemu/721/snapshot/nosnap")) == "snapshot 'nosnap' does not exist"

    def test_a_vm_with_snapshots_becomes_no_template(self, api: Api) -> None:
        api.clone(722)
        api.snapshot(722, "s1")
        answer = api.call("POST", "qemu/722/template")
        assert answer.reason == "unable to create template, because VM contains snapshots"


class TestPersonalities:
    FEATURES = {  # snapshot, clone of snapshot, copy of snapshot, clone, copy
        "lvmthin": [1, 1, 1, 0, 1],
        "qcow2": [1, 0, 1, 0, 1],
        "zfs": [1, 0, 0, 0, 1],
    }

    def test_features_are_those_of_the_storage(self, storage: tuple[str, Api]) -> None:
        kind, api = storage
        api.clone(100)
        api.snapshot(100, "s1")
        asked = [("snapshot", ""), ("clone", "s1"), ("copy", "s1"), ("clone", ""), ("copy", "")]
        has = [
            api.get("qemu/100/feature", feature=feature, **({"snapname": name} if name else {}))["hasFeature"]
            for feature, name in asked
        ]
        assert has == self.FEATURES[kind]
        assert api.get("qemu/9000/feature", feature="clone")["hasFeature"] == 1

    def test_clones_of_a_snapshot_are_what_the_storage_can(self, storage: tuple[str, Api]) -> None:
        kind, api = storage
        api.clone(100)
        (api.disk(100) / "workspace/a").write_text("then")
        api.snapshot(100, "s1")
        (api.disk(100) / "workspace/a").write_text("now")
        linked = api.call("POST", "qemu/100/clone", newid=101, snapname="s1", full=0)
        full = api.call("POST", "qemu/100/clone", newid=102, snapname="s1", full=1)
        assert linked.ok == (kind == "lvmthin")
        assert full.ok == (kind != "zfs")
        if not linked.ok:
            assert linked.reason.startswith("Linked clone feature is not supported for a snapshot of 'local")
            assert linked.reason.endswith("' (scsi0)")
        for answer, vmid in ((linked, 101), (full, 102)):
            if answer.ok:
                api.done(answer.json()["data"])
                assert (api.disk(vmid) / "workspace/a").read_text() == "then"

    def test_zfs_goes_back_to_the_newest_only(self, storage: tuple[str, Api]) -> None:
        kind, api = storage
        api.clone(100)
        api.snapshot(100, "s1")
        api.snapshot(100, "s2")
        volume = api.get("qemu/100/config")["scsi0"].split(",")[0]
        refused = f"can't rollback, 's1' is not most recent snapshot on '{volume}'"
        assert api.ended(api.post("qemu/100/snapshot/s1/rollback")) == (refused if kind == "zfs" else "OK")
        assert "lock" not in api.get("qemu/100/config")
        api.done(api.post("qemu/100/snapshot/s2/rollback"))

    def test_a_template_in_use_is_guarded_where_the_storage_can_tell(self, storage: tuple[str, Api]) -> None:
        kind, api = storage
        base = api.get("qemu/9000/config")["scsi0"].split(",")[0]
        api.clone(100)
        guarded = f"base volume '{base}' is still in use by linked cloned"
        assert api.ended(api.delete("qemu/9000")) == ("OK" if kind == "lvmthin" else guarded)
