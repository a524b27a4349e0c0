"""Disk limits: a guest that has filled its disk is frozen with `io-error`, as QEMU does when a thin pool is full."""

import logging
import threading
import time

from proxmox.node import drives
from proxmox.node.errors import Failure
from proxmox.node.host import Host

_REST = 10  # measuring may take one part in this many of the time

logger = logging.getLogger(__name__)


def watch(host: Host) -> None:
    """Measure running guests for ever, on a thread of its own."""
    threading.Thread(target=_run, args=(host,), name="monitor", daemon=True).start()


def _run(host: Host) -> None:
    while True:
        began = time.monotonic()
        for vmid in host.guests.running():
            if host.guests.power(vmid) == "running":
                _measure(host, vmid)
        time.sleep(max(host.options.disk_check_seconds - (time.monotonic() - began), 0.05))


def _measure(host: Host, vmid: int) -> None:
    began = time.monotonic()
    try:
        capacity = drives.capacity(host.configs.view(vmid).values)
        if capacity and host.disks.used(vmid) > capacity:
            logger.warning("The disk of guest %d is full; it is frozen until its disk is larger.", vmid)
            host.guests.pause(vmid, "io-error")
    except (Failure, OSError):
        return  # it was destroyed or stopped meanwhile
    time.sleep((time.monotonic() - began) * _REST)
