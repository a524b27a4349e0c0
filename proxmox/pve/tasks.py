"""Proxmox's tasks: how they stand, how they ended, and which one a lost answer had started."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from proxmox import errors
from proxmox.driver import VM, Task
from proxmox.pve.http import Part

UNKNOWN_TASK = "unexpected status"
# A task that was just started may not be found yet: its files are written after its UPID.
YOUNG_SECONDS = 5
# How far the clocks of node and control plane may be apart.
SKEW_SECONDS = 300
# Tasks that work on nothing: an open console is one.
_CONSOLES = frozenset({"vncproxy", "termproxy", "spiceproxy"})
# Which kinds of task hold a lock without being named after the VM (qemu-server: Qemu.pm; pve-manager: VZDump.pm).
_HOLDERS = {"clone": {"qmclone"}, "create": {"qmcreate", "qmrestore"}, "backup": {"vzdump"}}
LOG_PAGE = 500
LOG_LINES = 200


class Tasks(Part):
    def tasks(self, upids: Sequence[str]) -> list[Task]:
        by_node: dict[str, list[str]] = {}
        for upid in upids:
            by_node.setdefault(node_of(upid), []).append(upid)
        tasks: list[Task] = []
        failure: errors.ProxmoxError | None = None
        for node, wanted in by_node.items():
            try:
                tasks += self._tasks_on(node, wanted)
            except (errors.Transient, errors.UnknownOutcome) as error:
                failure = error  # logs are on the node's own disk: nothing is known until it is back
                tasks += [Task(upid) for upid in wanted]
        if failure and not any(task.result for task in tasks):
            raise failure
        return tasks

    def _tasks_on(self, node: str, upids: list[str]) -> Iterator[Task]:
        listed: dict[str, str] = {}
        if len(upids) > 2:  # one list answers for all of them
            rows = self._http.get(f"nodes/{node}/tasks", source="all", limit=500, since=_since(upids))
            listed = {
                row["upid"]: str(row["status"]) for row in rows if row.get("endtime") and row.get("status")
            }
        for upid in upids:
            yield Task(upid, listed[upid]) if upid in listed else self._task(node, upid)

    def _task(self, node: str, upid: str) -> Task:
        try:
            status = self._http.get(f"nodes/{node}/tasks/{upid}/status")
        except errors.ProxmoxError as error:
            if "no such task" not in str(error):
                raise
            young = abs(time.time() - _started(upid)) < YOUNG_SECONDS
            return Task(upid, "" if young else UNKNOWN_TASK)
        return Task(
            upid, str(status.get("exitstatus", UNKNOWN_TASK)) if status["status"] == "stopped" else ""
        )

    def find_task(self, node: str, kind: str, vmid: int, since: float) -> str:
        since = int(since) - SKEW_SECONDS
        rows = self._http.get(f"nodes/{node}/tasks", source="all", typefilter=kind, vmid=vmid, since=since)
        ours = [row for row in rows if row["upid"].split(":")[7:8] == [self._http.user]]
        latest = max(ours, key=lambda row: (not row.get("endtime"), int(row["starttime"])), default=None)
        return str(latest["upid"]) if latest else ""

    def running_task(self, vm: VM, lock: str = "") -> str:
        rows = self._http.get(f"nodes/{vm.node}/tasks", source="active", limit=500)
        alive = [row for row in rows if not row.get("endtime") and row["type"] not in _CONSOLES]
        # What makes a VM is named after its source, and a backup of several VMs after none of them.
        found = (
            row
            for row in alive
            if str(row.get("id")) == str(vm.vmid) or row["type"] in _HOLDERS.get(lock, ())
        )
        return next((str(row["upid"]) for row in found), "")

    def sees_all_tasks(self, node: str) -> bool:
        held = self._http.get("access/permissions")
        return any("Sys.Audit" in held.get(path, {}) for path in ("/", "/nodes", f"/nodes/{node}"))

    def task_log(self, upid: str) -> str:
        last: deque[str] = deque(maxlen=LOG_LINES)
        start = 0
        while True:
            rows = self._http.get(f"nodes/{node_of(upid)}/tasks/{upid}/log", start=start, limit=LOG_PAGE)
            if not isinstance(rows, list):  # an object stands for a log that is gone
                return ""
            last += [str(row["t"]) for row in rows]
            start += len(rows)
            if len(rows) < LOG_PAGE:
                return "\n".join(last)


def node_of(upid: str) -> str:
    return upid.split(":")[1]


def _started(upid: str) -> int:
    """A UPID's fifth field is its start, as hexadecimal Unix time."""
    return int(upid.split(":")[4], 16)


def _since(upids: Iterable[str]) -> int:
    return min(map(_started, upids)) - 5
