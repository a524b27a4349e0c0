"""Proxmox's tasks: how they stand, how they ended, and which one a lost answer had started."""

from collections.abc import Iterable, Iterator, Sequence

from proxmox import errors
from proxmox.driver import VM, Task
from proxmox.pve.http import Part

UNKNOWN_TASK = "unexpected status"


class Tasks(Part):
    def tasks(self, upids: Sequence[str]) -> list[Task]:
        by_node: dict[str, list[str]] = {}
        for upid in upids:
            by_node.setdefault(node_of(upid), []).append(upid)
        return [task for node, wanted in by_node.items() for task in self._tasks_on(node, wanted)]

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
            if "no such task" in str(error):
                return Task(upid, UNKNOWN_TASK)
            raise
        return Task(
            upid, str(status.get("exitstatus", UNKNOWN_TASK)) if status["status"] == "stopped" else ""
        )

    def find_task(self, node: str, kind: str, vmid: int, since: float) -> str:
        rows = self._http.get(
            f"nodes/{node}/tasks", source="all", typefilter=kind, vmid=vmid, since=int(since) - 5
        )
        ours = [row for row in rows if self._http.user in row["upid"]]
        return max(ours, key=lambda row: int(row["starttime"]))["upid"] if ours else ""

    def running_task(self, vm: VM) -> str:
        raise NotImplementedError

    def task_log(self, upid: str) -> str:
        rows = self._http.get(f"nodes/{node_of(upid)}/tasks/{upid}/log", limit=500)
        return "\n".join(row["t"] for row in rows[-20:]) if isinstance(rows, list) else ""


def node_of(upid: str) -> str:
    return upid.split(":")[1]


def _since(upids: Iterable[str]) -> int:
    """The earliest start among UPIDs; their fifth field is the start as hexadecimal Unix time."""
    return min(int(upid.split(":")[4], 16) for upid in upids) - 5
