"""The driver: one class, put together from a module for each section of `proxmox.driver`.

It absorbs proxmoxer's habits and Proxmox's, and knows nothing of what the VMs are for.
"""

from collections.abc import Sequence
from contextlib import nullcontext

from proxmox.driver import Driver
from proxmox.pve.agent import Agent
from proxmox.pve.cluster import Cluster
from proxmox.pve.console import Consoles
from proxmox.pve.firewall import Firewalls
from proxmox.pve.http import Connection, Gate
from proxmox.pve.metrics import Metrics
from proxmox.pve.snapshots import Snapshots
from proxmox.pve.storages import Storages
from proxmox.pve.tasks import Tasks
from proxmox.pve.vms import VMs


class PveDriver(Cluster, VMs, Snapshots, Storages, Tasks, Firewalls, Metrics, Consoles, Agent, Driver):
    """One connection to a Proxmox VE API. Not thread-safe: each thread makes its own, which costs no request."""

    def __init__(
        self,
        urls: str | Sequence[str],
        token: str,
        *,
        verify_tls: bool | str = True,
        fingerprint: str = "",
        pool: str = "",
        gate: Gate = lambda path: nullcontext(),
    ) -> None:
        """`urls`: nodes of one cluster, in order, as a sequence or separated by commas.

        `token`: `user@realm!name=secret`. TLS is checked against the system's authorities, those of the file
        `verify_tls`, or the SHA-256 `fingerprint` of the certificate (one for all URLs, or one each, separated by
        commas). A VM in another pool than `pool` is never destroyed; "" does not look. `gate` is held, by its path,
        while something is written.
        """
        http = Connection(urls, token, verify_tls=verify_tls, fingerprint=fingerprint, gate=gate)
        super().__init__(http, pool)
