"""The cluster as a whole: version, nodes, pools, privileges, and every VM that the token may see."""

import contextlib
from collections.abc import Iterable
from typing import Any

from proxmox import errors
from proxmox.driver import Node, Observed
from proxmox.pve.http import Part
from proxmox.pve.vms import observed

Rows = dict[int, dict[str, Any]]


class Cluster(Part):
    def version(self) -> str:
        return str(self._http.get("version")["version"])

    def embedded(self) -> bool:
        return str(self._http.get("version").get("repoid")) == "autovibe"

    def quorate(self) -> bool:
        rows = self._http.get("cluster/status")
        return all(int(row.get("quorate") or 0) for row in rows if row["type"] == "cluster")

    def nodes(self) -> list[Node]:
        return [
            Node(
                name=str(row["node"]),
                online=is_there(row),
                processors=int(row.get("maxcpu") or 0),
                cpu=float(row.get("cpu") or 0),
                memory_bytes=int(row.get("maxmem") or 0),
                memory_used_bytes=int(row.get("mem") or 0),
            )
            for row in self._http.get("nodes")
        ]

    def permissions(self) -> dict[str, frozenset[str]]:
        # The value says whether a privilege reaches what is below the path; it is held here either way.
        return {path: frozenset(held) for path, held in self._http.get("access/permissions").items()}

    def ensure_pool(self, pool: str) -> None:
        # A minimal role may see the pool and not make one, so it is looked for first.
        if all(row["poolid"] != pool for row in self._http.get("pools")):
            with contextlib.suppress(errors.Exists):
                self._http.change("post", "pools", poolid=pool)

    def inventory(self) -> list[Observed]:
        rows = self._resources()
        for node in self._to_look_at(rows):
            self._look_closer(rows, node)
        return [observed(row) for row in rows.values()]

    def _to_look_at(self, rows: Rows) -> set[str]:
        """The nodes where something runs, and those that are there and have VMs of which nothing has arrived yet."""
        running = {row["node"] for row in rows.values() if row.get("status") == "running"}
        silent = {row["node"] for row in rows.values() if row.get("status") == "unknown"} - running
        # One that is away would only be waited for.
        return running | ({node.name for node in self.nodes() if node.online} & silent if silent else set())

    def locate(self, vmid: int) -> str:
        row = self._resources().get(vmid)
        return str(row["node"]) if row else ""

    def _resources(self) -> Rows:
        rows: Iterable[dict[str, Any]] = self._http.get("cluster/resources", type="vm")
        return {int(row["vmid"]): row for row in rows if row["type"] == "qemu"}

    def _look_closer(self, rows: Rows, node: str) -> None:
        """Only a node's own full list is current, and tells a frozen guest from a running one (qmpstatus)."""
        try:
            listed = self._http.get(f"nodes/{node}/qemu", attempts=1, full=1)
        except errors.ProxmoxError:
            # The node went away after the cluster last heard of it: nothing is known of its VMs.
            for row in rows.values():
                if row["node"] == node:
                    row["status"] = "unknown"
            return
        for row in listed:
            rows.setdefault(int(row["vmid"]), {"node": node}).update(row)


def is_there(row: dict[str, Any]) -> bool:
    """Whether the node of a row of `/nodes` is there. Only one that is away is called `offline`.

    `unknown` is one whose statistics are missing, as for a while after a boot, or not for this token to see
    (pve-manager: API2Tools.pm, extract_node_stats).
    """
    return row.get("status") != "offline"
