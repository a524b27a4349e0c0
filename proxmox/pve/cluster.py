"""The cluster as a whole: version, nodes, pools, and every VM that the token may see."""

import contextlib

from proxmox import errors
from proxmox.driver import Node, Observed
from proxmox.pve.http import Part
from proxmox.pve.vms import observed


class Cluster(Part):
    def version(self) -> str:
        return str(self._http.get("version")["version"])

    def embedded(self) -> bool:
        return str(self._http.get("version").get("repoid")) == "autovibe"

    def quorate(self) -> bool:
        raise NotImplementedError

    def nodes(self) -> list[Node]:
        raise NotImplementedError

    def permissions(self) -> dict[str, frozenset[str]]:
        raise NotImplementedError

    def ensure_pool(self, pool: str) -> None:
        with contextlib.suppress(errors.Exists):
            self._http.change("post", "pools", poolid=pool)

    def inventory(self) -> list[Observed]:
        rows = {
            int(row["vmid"]): row
            for row in self._http.get("cluster/resources", type="vm")
            if row["type"] == "qemu"
        }
        # Only a node's own full list tells a frozen guest from a running one (qmpstatus).
        for node in {row["node"] for row in rows.values() if row.get("status") == "running"}:
            for row in self._http.get(f"nodes/{node}/qemu", full=1):
                rows.setdefault(int(row["vmid"]), {"node": node}).update(row)
        return [observed(row) for row in rows.values()]
