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
    """What the nodes have told of their VMs. Which VMs there are is always current."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: between two rounds; 10 on a real Proxmox VE (pvestatd)."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._taken_at = -seconds
        self._rows: dict[int, Row] = {}

    def rows(self, host: "Host", describe: Describe, unknown: Describe) -> list[Row]:
        """Every VM; one that is new, or whose node is away, has only the status `unknown`."""
        if host.faults.node_down:
            return [unknown(host, vmid) for vmid in host.configs.all()]
        with self._lock:
            if time.monotonic() - self._taken_at >= self._seconds:
                self._rows, self._taken_at = {}, time.monotonic()
            old = [vmid for vmid in host.configs.all() if host.configs.age(vmid) >= self._seconds]
            self._rows = {vmid: self._rows.get(vmid) or describe(host, vmid) for vmid in old}
            known = dict(self._rows)
        return [known.get(vmid) or unknown(host, vmid) for vmid in host.configs.all()]
