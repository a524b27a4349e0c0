"""What survives when the node is killed: guests, snapshots, tasks; and what is left of work that was under way."""

from pathlib import Path

import pytest

from tests.node_process import NodeProcess, start_node
from tests.proxmox.conftest import Api
from tests.proxmox.test_node_power import moves, run_away, until


@pytest.mark.parametrize("sandbox", [True, False], ids=["sandboxed", "plain"])
class TestKill:
    def test_running_guests_go_on_and_are_found_again(self, tmp_path: Path, sandbox: bool) -> None:
        with start_node(tmp_path, sandbox=sandbox, keep_guests_running=True) as node:
            api = Api(node)
            api.clone(100)
            api.start(100)
            mark = run_away(api, 100)
            node.kill()
        assert moves(mark)
        with start_node(tmp_path, sandbox=sandbox) as node:
            api = Api(node)
            assert api.get("qemu/100/status/current")["qmpstatus"] == "running"
            assert api.out(100, "echo still here") == "still here\n"
            api.stop(100)
            assert not moves(mark)

    def test_a_paused_guest_stays_paused(self, tmp_path: Path, sandbox: bool) -> None:
        with start_node(tmp_path, sandbox=sandbox, keep_guests_running=True) as node:
            api = Api(node)
            api.clone(100)
            api.start(100)
            mark = run_away(api, 100)
            api.done(api.post("qemu/100/status/suspend"))
            node.kill()
        with start_node(tmp_path, sandbox=sandbox) as node:
            api = Api(node)
            assert api.get("qemu/100/status/current")["qmpstatus"] == "paused"
            assert not moves(mark)
            api.done(api.post("qemu/100/status/resume"))
            assert moves(mark)

    def test_a_guest_that_died_meanwhile_is_off(self, tmp_path: Path, sandbox: bool) -> None:
        with start_node(tmp_path, sandbox=sandbox) as node:
            api = Api(node)
            api.clone(100)
            api.start(100)
            node.kill()
        with start_node(tmp_path, sandbox=sandbox) as node:
            api = Api(node)
            assert api.get("qemu/100/status/current")["qmpstatus"] == "stopped"
            api.start(100)


class TestStop:
    def test_guests_are_shut_down_with_the_node(self, tmp_path: Path) -> None:
        with start_node(tmp_path) as node:
            api = Api(node)
            api.clone(100)
            api.start(100)
            mark = run_away(api, 100)
        assert not moves(mark)

    def test_guests_can_be_kept(self, tmp_path: Path) -> None:
        with start_node(tmp_path, keep_guests=True, keep_guests_running=True) as node:
            api = Api(node)
            api.clone(100)
            api.start(100)
            mark = run_away(api, 100)
        assert moves(mark)
        with start_node(tmp_path) as node:
            assert Api(node).get("qemu/100/status/current")["status"] == "running"


class TestWorkUnderWay:
    def begin(self, node: NodeProcess, verb: str, **sent: object) -> str:
        """Start something that is still under way when the node dies; its UPID."""
        api = Api(node)
        api.fault(match=f"POST */{verb}", action="slow-task", seconds=60)
        upid = str(api.post(f"qemu/100/{verb}", **sent))
        until(lambda: any("lock" in row for row in api.get("qemu")))
        return upid

    def test_tasks_that_ended_are_remembered_and_others_end_unexpectedly(self, tmp_path: Path) -> None:
        with start_node(tmp_path, faults=True) as node:
            ended = Api(node).post("qemu/9000/clone", newid=100)
            Api(node).done(ended)
            lost = self.begin(node, "snapshot", snapname="s1")
            node.kill()
        with start_node(tmp_path) as node:
            api = Api(node)
            assert api.get(f"tasks/{ended}/status")["exitstatus"] == "OK"
            assert api.get(f"tasks/{lost}/status")["exitstatus"] == "unexpected status"
            assert [row["status"] for row in api.get("tasks", vmid=100)] == ["unexpected status"]
            assert api.get("tasks", statusfilter="ok", typefilter="qmclone")[0]["upid"] == ended

    def test_a_snapshot_leaves_its_lock_which_the_operator_clears(self, tmp_path: Path) -> None:
        with start_node(tmp_path, faults=True) as node:
            Api(node).clone(100)
            self.begin(node, "snapshot", snapname="s1")
            node.kill()
        with start_node(tmp_path) as node:
            api = Api(node)
            assert api.get("qemu/100/config")["lock"] == "snapshot"
            assert api.get("qemu/100/snapshot")[0]["snapstate"] == "prepare"
            assert api.ended(api.post("qemu/100/snapshot", snapname="s2")) == "VM is locked (snapshot)"
            assert api.ended(api.delete("qemu/100")) == "VM is locked (snapshot)"
            assert (
                api.call("PUT", "qemu/100/config", delete="lock").reason == "only root can set 'lock' config"
            )
        with start_node(tmp_path, unlock=100) as node:
            api = Api(node)
            api.done(api.delete("qemu/100/snapshot/s1", force=1))
            api.snapshot(100, "s1")

    def test_a_half_made_clone_stays_locked(self, tmp_path: Path) -> None:
        with start_node(tmp_path, faults=True) as node:
            Api(node).clone(100)
            self.begin(node, "clone", newid=101)
            node.kill()
        with start_node(tmp_path) as node:
            assert Api(node).get("qemu/101/config")["lock"] == "clone"
            Api(node).start(100)

    def test_a_rollback_can_be_done_again(self, tmp_path: Path) -> None:
        with start_node(tmp_path, faults=True) as node:
            api = Api(node)
            api.clone(100)
            (api.disk(100) / "workspace/a").write_text("then")
            api.snapshot(100, "s1")
            (api.disk(100) / "workspace/a").write_text("now")
            self.begin(node, "snapshot/s1/rollback")
            node.kill()
        with start_node(tmp_path, unlock=100) as node:
            api = Api(node)
            api.done(api.post("qemu/100/snapshot/s1/rollback"))
            assert (api.disk(100) / "workspace/a").read_text() == "then"


class TestToken:
    def test_one_is_made_and_kept_when_none_is_given(self, tmp_path: Path) -> None:
        with start_node(tmp_path, token=""):
            kept = (tmp_path / "token").read_text().strip()
        with start_node(tmp_path, token="") as node:
            node.token = kept
            assert Api(node).get("/version")["release"]
        assert (tmp_path / "token").stat().st_mode & 0o077 == 0
