"""Tasks: the list and its filters, logs page by page, and how they are ended."""

import itertools

import pytest

from tests.proxmox.conftest import Api
from tests.proxmox.test_node_power import until

VMIDS = itertools.count(1300)
UNKNOWN = "UPID:embedded:00000001:00000001:60000000:qmstart:100:autovibe@pve!local:"


@pytest.fixture
def vmid(api: Api) -> int:
    """A VM of the test's own, whose clone is no task of its own."""
    return api.clone(next(VMIDS))


class TestList:
    def test_it_is_filtered_by_vm_type_user_and_end(self, api: Api, vmid: int) -> None:
        api.start(vmid)
        api.ended(api.post(f"qemu/{vmid}/status/start"))
        assert [row["type"] for row in api.get("tasks", vmid=vmid)] == ["qmstart", "qmstart"]
        assert [row["status"] for row in api.get("tasks", vmid=vmid, errors=1)] == [
            f"VM {vmid} already running"
        ]
        assert [row["status"] for row in api.get("tasks", vmid=vmid, statusfilter="ok")] == ["OK"]
        assert len(api.get("tasks", vmid=vmid, statusfilter="OK,error")) == 2
        assert api.get("tasks", vmid=vmid, typefilter="qmstop") == []
        assert len(api.get("tasks", vmid=vmid, userfilter="AutoVibe")) == 2
        assert api.get("tasks", vmid=vmid, userfilter="root@pam") == []
        row = api.get("tasks", vmid=vmid)[0]
        assert (row["user"], row["tokenid"], row["id"]) == ("autovibe@pve", "local", str(vmid))

    def test_it_is_filtered_by_time(self, api: Api, vmid: int) -> None:
        api.start(vmid)
        began = api.get("tasks", vmid=vmid)[0]["starttime"]
        assert len(api.get("tasks", vmid=vmid, since=began, until=began)) == 1
        assert api.get("tasks", vmid=vmid, since=began + 1) == []
        assert api.get("tasks", vmid=vmid, until=began - 1) == []

    def test_it_comes_in_pages_with_the_whole_number(self, api: Api, vmid: int) -> None:
        for _ in range(3):
            api.stop(vmid)
        answer = api.call("GET", "tasks", vmid=vmid, limit=2).json()
        assert (len(answer["data"]), answer["total"]) == (2, 3)
        assert len(api.get("tasks", vmid=vmid, start=2, limit=2)) == 1
        assert api.call("GET", "tasks", vmid=vmid, limit=0).json() == {"data": [], "total": 3}

    def test_what_runs_is_not_in_the_archive(self, api: Api, vmid: int) -> None:
        api.fault(match="POST */snapshot", action="slow-task", seconds=30)
        upid = api.post(f"qemu/{vmid}/snapshot", snapname="s1")
        assert api.get("tasks", vmid=vmid) == []
        for source in ("active", "all"):
            (row,) = api.get("tasks", vmid=vmid, source=source)
            assert (row["upid"], row["status"], "endtime" in row) == (upid, "RUNNING", False)
        assert api.get("tasks", vmid=vmid, source="all", statusfilter="ok,error,warning") == []
        api.delete(f"tasks/{upid}")

    def test_a_volumes_task_is_not_its_vms(self, api: Api, vmid: int) -> None:
        missing = f"local:backup/vzdump-qemu-{vmid}-2020_01_01-00_00_00.vma.zst"
        api.done(api.delete(f"storage/local/content/{missing}"))
        assert api.get("tasks", vmid=vmid) == []
        assert api.get("tasks", typefilter="imgdel", limit=1)[0]["id"] == f"{vmid}@local"

    def test_a_state_that_there_is_not_is_refused(self, api: Api) -> None:
        errors = api.call("GET", "tasks", statusfilter="fine").json()["errors"]
        assert errors == {"statusfilter": "invalid format - invalid status 'fine'\n"}


class TestLog:
    def test_it_comes_in_pages_with_the_whole_number(self, api: Api) -> None:
        upid = api.post("qemu/9000/clone", newid=next(VMIDS))
        api.done(upid)
        whole = api.call("GET", f"tasks/{upid}/log").json()
        assert [row["n"] for row in whole["data"]] == list(range(1, whole["total"] + 1))
        assert whole["data"][-1]["t"] == "TASK OK"
        page = api.call("GET", f"tasks/{upid}/log", start=1, limit=1).json()
        assert (page["data"], page["total"]) == (whole["data"][1:2], whole["total"])
        assert api.get(f"tasks/{upid}/log", limit=0) == whole["data"]

    def test_one_that_there_is_not_is_a_line_instead_of_lines(self, api: Api) -> None:
        assert api.get(f"tasks/{UNKNOWN}/log") == {
            "n": 1,
            "t": "unable to open file - No such file or directory",
        }


class TestUnknown:
    @pytest.mark.parametrize(("method", "path"), [("GET", "/status"), ("DELETE", "")])
    def test_a_task_that_there_is_not_is_told_from_what_is_no_task(
        self, api: Api, method: str, path: str
    ) -> None:
        for upid, complaint in ((UNKNOWN, "no such task"), ("UPID:x", "unable to parse worker upid")):
            answer = api.call(method, f"tasks/{upid}{path}")
            assert (answer.status_code, answer.json()["errors"]) == (400, {"upid": complaint})


class TestCancel:
    def test_it_ends_a_task_and_waits_for_that(self, api: Api, vmid: int) -> None:
        api.fault(match="POST */snapshot", action="slow-task", seconds=30)
        upid = api.post(f"qemu/{vmid}/snapshot", snapname="s1")
        until(lambda: "lock" in api.get(f"qemu/{vmid}/config"))
        assert api.delete(f"tasks/{upid}") is None
        status = api.get(f"tasks/{upid}/status")
        assert (status["status"], status["exitstatus"]) == ("stopped", "received interrupt")
        assert "lock" not in api.get(f"qemu/{vmid}/config")

    def test_a_rollback_that_is_cancelled_stays_locked(self, api: Api, vmid: int) -> None:
        api.snapshot(vmid, "s1")
        api.fault(match="POST */rollback", action="slow-task", seconds=30)
        upid = api.post(f"qemu/{vmid}/snapshot/s1/rollback")
        until(lambda: "lock" in api.get(f"qemu/{vmid}/config"))
        api.delete(f"tasks/{upid}")
        assert api.ended(upid) == "received interrupt"
        assert api.get(f"qemu/{vmid}/config")["lock"] == "rollback"

    def test_one_that_waits_for_a_lock_ends_as_well(self, api: Api, vmid: int) -> None:
        api.fault(match="POST */clone", action="slow-task", seconds=30)
        clone = api.post(f"qemu/{vmid}/clone", newid=next(VMIDS))
        until(lambda: len(api.get("tasks", source="active", vmid=vmid)) == 1)
        start = api.post(f"qemu/{vmid}/status/start")
        until(lambda: api.get(f"tasks/{start}/log")[0]["t"] == "trying to acquire lock...")
        api.delete(f"tasks/{start}")
        assert api.ended(start) == "received interrupt"
        api.delete(f"tasks/{clone}")

    def test_nothing_happens_to_one_that_has_ended(self, api: Api, vmid: int) -> None:
        upid = api.post(f"qemu/{vmid}/status/stop")
        api.done(upid)
        assert api.delete(f"tasks/{upid}") is None
        assert api.ended(upid) == "OK"
