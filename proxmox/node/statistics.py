"""What the cluster knows of its VMs, as old as the statistics that nodes send each other every few seconds."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proxmox.node.host import Host

Row = dict[str, Any]
Describe = Callable[["Host", int], Row]


class Statistics:
    """The rows of `/cluster/resources`. Which VMs there are, their lock and pool are always current."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: between two rounds; 10 on a real Proxmox VE (pvestatd)."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._taken_at = -seconds
        self._rows: dict[int, Row] = {}

    def rows(self, host: "Host", describe: Describe, unknown: Describe) -> list[Row]:
        """Every VM; one that is new, or whose node is away, has only the status `unknown`."""
        if host.faults.node_down:
            return [_current(host, vmid, unknown(host, vmid)) for vmid in host.configs.all()]
        with self._lock:
            if time.monotonic() - self._taken_at >= self._seconds:
                self._rows, self._taken_at = {}, time.monotonic()
            old = [vmid for vmid in host.configs.all() if host.configs.age(vmid) >= self._seconds]
            self._rows = {vmid: self._rows.get(vmid) or describe(host, vmid) for vmid in old}
            known = dict(self._rows)
        return [_current(host, vmid, known.get(vmid) or unknown(host, vmid)) for vmid in host.configs.all()]


def _current(host: "Host", vmid: int, row: Row) -> Row:
    values, pool = host.configs.all()[vmid].values, host.pools.of(vmid)
    row = {key: value for key, value in row.items() if key != "lock"}
    row |= {"lock": values["lock"]} if values.get("lock") else {}
    return row | ({"pool": pool} if pool else {})
