"""Injected faults: what clients have to survive can be had on demand."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.node_process import start_node
from tests.proxmox.conftest import Api

VMIDS = itertools.count(10_000)


class TestRequest:
    def test_it_fails_once_without_being_done(self, api: Api) -> None:
        api.fault(match="POST */qemu/9000/clone", action="fail", status=596)
        answer = api.call("POST", "qemu/9000/clone", newid=900)
        assert (answer.status_code, answer.reason, answer.content) == (596, "Connection timed out", b"")
        assert api.call("GET", "qemu/900/config").status_code == 500
        api.clone(900)

    @pytest.mark.parametrize(
        ("status", "reason", "message"),
        [
            (595, "No route to host", None),
            (599, "Too many redirections", None),
            (500, "got no worker upid - start worker failed", "got no worker upid - start worker failed\n"),
            (403, "Permission check failed", "Permission check failed\n"),
        ],
    )
    def test_it_fails_with_any_status_and_reason(
        self, api: Api, status: int, reason: str, message: str | None
    ) -> None:
        api.fault(match="GET /version", action="fail", status=status, reason=reason)
        answer = api.call("GET", "/version")
        assert (answer.status_code, answer.reason) == (status, reason)
        assert (answer.json()["message"] if answer.content else None) == message

    def test_it_is_answered_with_words_and_not_done(self, api: Api) -> None:
        api.fault(match="POST */vzdump", action="fail", status=200, reason="OK")
        assert api.post("vzdump", vmid=9000, storage="local") == "OK"
        assert api.get("tasks", source="all", typefilter="vzdump", vmid=9000) == []

    def test_the_connection_ends_and_the_work_is_done(self, api: Api) -> None:
        api.fault(match="POST */clone", action="drop")
        with pytest.raises(requests.ConnectionError):
            api.call("POST", "qemu/9000/clone", newid=901)
        api.done(self.latest(api, "qmclone"))
        assert api.get("qemu/901/config")["name"]

    def test_the_answer_is_a_596_and_the_work_is_done(self, api: Api) -> None:
        api.fault(match="POST */clone", action="lose")
        answer = api.call("POST", "qemu/9000/clone", newid=902)
        assert (answer.status_code, answer.reason, answer.content) == (596, "Connection timed out", b"")
        api.done(self.latest(api, "qmclone"))
        assert api.get("qemu/902/config")["name"]

    def test_it_is_late(self, api: Api) -> None:
        api.fault(match="GET /version", action="delay", seconds=0.3)
        began = time.monotonic()
        api.get("/version")
        assert time.monotonic() - began >= 0.3

    def test_a_fault_happens_as_often_as_it_is_told(self, api: Api) -> None:
        api.fault(match="GET /version", action="fail", status=500, reason="no", times=2)
        assert [api.call("GET", "/version").status_code for _ in range(3)] == [500, 500, 200]

    def test_without_a_number_it_goes_on_until_it_is_cleared(self, api: Api) -> None:
        api.fault(match="GET /version", action="fail", status=500, reason="no", times=0)
        assert [api.call("GET", "/version").status_code for _ in range(3)] == [500] * 3
        api.clear_faults()
        api.get("/version")

    def test_a_header_asks_for_it_for_one_request(self, api: Api) -> None:
        headers = {"X-Fault": "fail;status=595;reason=No%20route%20to%20host"}
        answer = api.call("GET", "/version", headers=headers)
        assert (answer.status_code, answer.reason) == (595, "No route to host")
        api.get("/version")

    @pytest.mark.parametrize("header", ["nonsense", "no-quorum", "fail;status=many"])
    def test_a_header_that_makes_no_sense_is_refused(self, api: Api, header: str) -> None:
        assert api.call("GET", "/version", headers={"X-Fault": header}).status_code == 400
        api.get("/version")

    def test_nobody_injects_faults_unless_the_node_allows_it(self, tmp_path: Path) -> None:
        with start_node(tmp_path) as node:
            answer = requests.post(f"{node.url}/fault", headers=node.headers, json={"match": "*"}, timeout=5)
            assert answer.status_code == 501
            assert Api(node).call("GET", "/version", headers={"X-Fault": "fail"}).status_code == 200

    def latest(self, api: Api, kind: str) -> str:
        (task, *_) = api.get("tasks", source="all", typefilter=kind, limit=1)
        return str(task["upid"])


class TestTask:
    @pytest.mark.parametrize(
        ("method", "path", "sent", "lock"),
        [
            ("POST", "qemu/{vmid}/snapshot", {"snapname": "s2"}, "snapshot"),
            ("DELETE", "qemu/{vmid}/snapshot/s1", {}, "snapshot-delete"),
            ("POST", "qemu/{vmid}/snapshot/s1/rollback", {}, "rollback"),
            ("POST", "vzdump", {"vmid": "{vmid}", "storage": "local"}, "backup"),
        ],
    )
    def test_a_worker_vanishes_and_leaves_its_lock(
        self, api: Api, method: str, path: str, sent: dict[str, str], lock: str
    ) -> None:
        vmid = next(VMIDS)
        api.clone(vmid)
        api.snapshot(vmid, "s1")
        sent = {name: value.format(vmid=vmid) for name, value in sent.items()}
        headers = {"X-Fault": "kill-task"}
        upid = api.call(method, path.format(vmid=vmid), headers=headers, **sent).json()["data"]
        assert api.ended(upid) == "unexpected status"
        assert api.get(f"qemu/{vmid}/status/current")["lock"] == lock
        assert api.ended(api.delete(f"qemu/{vmid}")) == f"VM is locked ({lock})"
        api.fault(action="unlock", vmid=vmid)
        api.done(api.delete(f"qemu/{vmid}"))

    def test_a_clone_whose_worker_vanished_is_half_made_and_its_source_free(self, api: Api) -> None:
        upid = api.call(
            "POST", "qemu/9000/clone", newid=940, full=1, headers={"X-Fault": "kill-task"}
        ).json()["data"]
        assert api.ended(upid) == "unexpected status"
        assert api.get("qemu/940/config")["lock"] == "clone"
        api.clone(941)
        api.fault(action="unlock", vmid=940)
        api.done(api.delete("qemu/940"))

    @pytest.mark.parametrize("verb", ["start", "stop", "shutdown", "reset", "suspend"])
    def test_a_worker_that_vanishes_before_it_acts_changes_nothing(self, api: Api, verb: str) -> None:
        vmid = next(VMIDS)
        api.clone(vmid)
        if verb != "start":
            api.start(vmid)
        before = api.get(f"qemu/{vmid}/status/current")["qmpstatus"]
        api.fault(match=f"POST */status/{verb}", action="kill-task")
        assert api.ended(api.post(f"qemu/{vmid}/status/{verb}")) == "unexpected status"
        assert api.get(f"qemu/{vmid}/status/current")["qmpstatus"] == before

    def test_a_worker_that_vanishes_late_has_done_everything(self, api: Api) -> None:
        vmid = next(VMIDS)
        api.clone(vmid)
        api.fault(match="POST */snapshot", action="kill-task-late")
        assert api.ended(api.post(f"qemu/{vmid}/snapshot", snapname="s1")) == "unexpected status"
        assert "lock" not in api.get(f"qemu/{vmid}/config")
        api.clone(next(VMIDS), source=vmid, snapname="s1", full=0)

    def test_the_disk_is_full_in_the_words_of_the_storage(self, api: Api) -> None:
        vmid = next(VMIDS)
        api.fault(match="POST */clone", action="disk-full")
        ended = api.ended(api.post("qemu/9000/clone", newid=vmid))
        assert ended.startswith("clone failed: lvcreate 'pve/vm-9000-disk-0' error:")
        assert "insufficient free space" in ended
        assert api.call("GET", f"qemu/{vmid}/config").status_code == 500

    def test_a_full_disk_fails_a_snapshot_without_a_trace_and_a_backup_as_job_errors(self, api: Api) -> None:
        vmid = next(VMIDS)
        api.clone(vmid)
        api.fault(match="POST */snapshot", action="disk-full", reason="No space left on device")
        assert api.ended(api.post(f"qemu/{vmid}/snapshot", snapname="s1")) == "No space left on device"
        assert [row["name"] for row in api.get(f"qemu/{vmid}/snapshot")] == ["current"]
        api.fault(match="POST */vzdump", action="disk-full", reason="No space left on device")
        upid = api.post("vzdump", vmid=vmid, storage="local")
        assert api.ended(upid) == "job errors"
        lines = [row["t"] for row in api.get(f"tasks/{upid}/log")]
        assert f"ERROR: Backup of VM {vmid} failed - No space left on device" in lines
        assert "lock" not in api.get(f"qemu/{vmid}/config")
        assert api.get("storage/local/content", vmid=vmid, content="backup") == []

    def test_it_breaks_off_with_any_words(self, api: Api) -> None:
        vmid = next(VMIDS)
        api.fault(match="POST */clone", action="fail-task", reason="got interrupted")
        assert api.ended(api.post("qemu/9000/clone", newid=vmid, full=1)) == "clone failed: got interrupted"

    def test_it_succeeds_with_a_warning(self, api: Api) -> None:
        vmid = next(VMIDS)
        api.clone(vmid)
        api.fault(match="DELETE *", action="warn-task", reason="could not remove a volume")
        upid = api.delete(f"qemu/{vmid}")
        assert api.ended(upid) == "WARNINGS: 1"
        assert [row["t"] for row in api.get(f"tasks/{upid}/log")] == [
            "WARN: could not remove a volume",
            "TASK WARNINGS: 1",
        ]

    def test_it_takes_longer(self, api: Api) -> None:
        vmid = next(VMIDS)
        api.clone(vmid)
        began = time.monotonic()
        headers = {"X-Fault": "slow-task;seconds=0.4"}
        api.done(api.call("POST", f"qemu/{vmid}/snapshot", snapname="s1", headers=headers).json()["data"])
        assert time.monotonic() - began >= 0.4

    def test_only_the_request_that_matches_has_its_task_afflicted(self, api: Api) -> None:
        vmid, other = next(VMIDS), next(VMIDS)
        api.fault(match=f"POST */{vmid}/snapshot", action="kill-task")
        api.clone(other)
        api.clone(vmid)
        api.snapshot(other, "s1")
        assert api.ended(api.post(f"qemu/{vmid}/snapshot", snapname="s1")) == "unexpected status"


class TestLock:
    def test_one_is_left_behind_without_a_task_and_an_operator_clears_it(self, api: Api) -> None:
        vmid = next(VMIDS)
        api.clone(vmid)
        api.fault(action="lock", vmid=vmid, lock="migrate")
        assert api.get(f"qemu/{vmid}/status/current")["lock"] == "migrate"
        assert api.ended(api.post(f"qemu/{vmid}/status/start")) == "VM is locked (migrate)"
        assert api.get("tasks", source="active", vmid=vmid) == []
        api.fault(action="unlock", vmid=vmid)
        api.start(vmid)


@pytest.fixture
def troubled(api: Api) -> Iterator[Api]:
    """A node whose lasting faults end with the test."""
    yield api
    api.clear_faults()


class TestLasting:
    def test_without_quorum_nothing_is_written(self, troubled: Api) -> None:
        vmid = next(VMIDS)
        troubled.clone(vmid)
        troubled.start(vmid)
        troubled.fault(action="no-quorum")
        for method, path, sent in (
            ("POST", "qemu/9000/clone", {"newid": next(VMIDS)}),
            ("PUT", f"qemu/{vmid}/config", {"cores": 2}),
            ("DELETE", f"qemu/{vmid}", {}),
        ):
            answer = troubled.call(method, path, **sent)
            assert (answer.status_code, answer.reason) == (500, "cluster not ready - no quorum?")
        assert troubled.get(f"qemu/{vmid}/config")["name"]
        assert troubled.out(vmid, "echo here") == "here\n"
        assert [row["quorate"] for row in troubled.get("/cluster/status") if row["type"] == "cluster"] == [0]
        troubled.clear_faults()
        troubled.put(f"qemu/{vmid}/config", cores=2)

    def test_a_node_that_is_down_is_not_reached_and_nobody_knows_of_its_vms(self, troubled: Api) -> None:
        vmid = next(VMIDS)
        troubled.clone(vmid)
        troubled.start(vmid)
        troubled.fault(action="node-down")
        for path in (f"qemu/{vmid}/status/current", "tasks", "storage"):
            answer = troubled.call("GET", path)
            assert (answer.status_code, answer.reason, answer.content) == (595, "No route to host", b"")
        rows = troubled.get("/cluster/resources")
        assert [row["status"] for row in rows if row["type"] == "node"] == ["offline"]
        assert {row["status"] for row in rows if row["type"] == "qemu"} == {"unknown"}
        troubled.clear_faults()
        assert troubled.get(f"qemu/{vmid}/status/current")["status"] == "running"

    def test_a_storage_that_is_away_takes_no_disk(self, troubled: Api) -> None:
        vmid = next(VMIDS)
        troubled.clone(vmid)
        troubled.fault(action="storage-down", storage="local-lvm")
        ended = troubled.ended(troubled.post(f"qemu/{vmid}/status/start"))
        assert ended == "storage 'local-lvm' is not online"
        ended = troubled.ended(troubled.post("qemu/9000/clone", newid=next(VMIDS)))
        assert ended == "clone failed: storage 'local-lvm' is not online"
        assert troubled.get("storage/local-lvm/status")["active"] == 0
        troubled.fault(action="storage-down", storage="local")
        ended = troubled.ended(troubled.post("vzdump", vmid=9000, storage="local"))
        assert ended == "could not get storage information for 'local': storage 'local' is not online"

    def test_what_a_fault_needs_must_be_said(self, api: Api) -> None:
        for fault in ({"action": "storage-down"}, {"action": "lock"}, {"action": "explode"}, {}):
            answer = requests.post(f"{api.node.url}/fault", headers=api.node.headers, json=fault, timeout=5)
            assert answer.status_code == 400
