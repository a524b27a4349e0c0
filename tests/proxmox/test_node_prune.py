"""Pruning: old backups go, protected ones stay, and some limits."""

import itertools
from pathlib import Path

import pytest

from tests.node_process import start_node
from tests.proxmox.conftest import Api
from tests.proxmox.test_node_backup import back_up, backups, log

VMIDS = itertools.count(1200)


class TestPrune:
    def test_a_preview_says_what_would_go(self, api: Api) -> None:
        vmid = next(VMIDS)
        api.clone(vmid)
        oldest, middle, newest = (back_up(api, vmid) for _ in range(3))
        api.put(f"storage/local/content/{oldest}", protected=1)
        rows = api.get("storage/local/prunebackups", vmid=vmid, **{"prune-backups": "keep-last=1"})
        assert {row["volid"]: row["mark"] for row in rows} == {
            oldest: "protected",
            middle: "remove",
            newest: "keep",
        }
        assert set(backups(api, vmid)) == {oldest, middle, newest}
        upid = api.delete("storage/local/prunebackups", vmid=vmid, **{"prune-backups": "keep-last=1"})
        assert f":prunebackups:{vmid}@local:" in upid
        api.done(upid)
        assert log(api, upid)[0] == f"removing backup '{middle}'"
        assert set(backups(api, vmid)) == {oldest, newest}

    def test_a_job_removes_what_its_retention_does_not_keep_unless_told_not_to(self, api: Api) -> None:
        vmid = next(VMIDS)
        api.clone(vmid)
        first = back_up(api, vmid)
        upid = api.post("vzdump", vmid=vmid, storage="local", **{"prune-backups": "keep-last=1"})
        api.done(upid)
        assert "INFO: pruned 1 backup(s) not covered by keep-retention policy" in log(api, upid)
        (left,) = backups(api, vmid)
        assert left != first
        upid = api.post("vzdump", vmid=vmid, storage="local", remove=0, **{"prune-backups": "keep-last=1"})
        assert api.ended(upid) == "job errors"
        assert "There is a max backup limit of 1 enforced by the target storage" in log(api, upid)[1]
        assert backups(api, vmid) == [left]

    def test_without_a_retention_everything_is_kept(self, api: Api) -> None:
        vmid = next(VMIDS)
        api.clone(vmid)
        made = {back_up(api, vmid, remove=1) for _ in range(2)}
        assert set(backups(api, vmid)) == made
        rows = api.get("storage/local/prunebackups", vmid=vmid, **{"prune-backups": "keep-all=1"})
        assert {row["mark"] for row in rows} == {"keep"}

    @pytest.mark.parametrize("retention", ["keep-last", "keep-all=1,keep-last=2", "keep-forever=1"])
    def test_a_retention_that_makes_no_sense_is_refused(self, api: Api, retention: str) -> None:
        answer = api.call("GET", "storage/local/prunebackups", **{"prune-backups": retention})
        assert answer.status_code == 400
        assert answer.json()["errors"].keys() == {"prune-backups"}

    def test_so_many_may_be_protected_and_no_more(self, tmp_path: Path) -> None:
        with start_node(tmp_path, max_protected=1) as node:
            api = Api(node)
            api.clone(100)
            back_up(api, 100, protected=1)
            reason = "The number of protected backups per guest is limited to 1 on storage 'local'"
            upid = api.post("vzdump", vmid=100, storage="local", protected=1)
            assert api.ended(upid) == "job errors"
            assert log(api, upid)[1] == f"ERROR: Backup of VM 100 failed - {reason}"
            second = back_up(api, 100)
            answer = api.call("PUT", f"storage/local/content/{second}", protected=1)
            assert (answer.status_code, answer.reason) == (500, reason)
