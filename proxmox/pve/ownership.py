"""Whether a VM is ours: what is proven before anything destructive is done to it."""

from typing import Any

from proxmox import errors
from proxmox.driver import MARK, VM, tags_of
from proxmox.pve.http import Connection


def path_of(vm: VM) -> str:
    return f"nodes/{vm.node}/qemu/{vm.vmid}"


def config_of(http: Connection, vm: VM) -> dict[str, Any]:
    """The VM's configuration. Raises `Missing`, or `Busy` while it is being made."""
    answer: dict[str, Any] = http.get(f"{path_of(vm)}/config")
    return answer


def prove_ours(http: Connection, vm: VM) -> None:
    """Ownership is a tag and the owner's id in the description: both, or nothing destructive is done.

    Raises `NotOurs`.
    """
    config = config_of(http, vm)
    tags = tags_of(config.get("tags"))
    if not vm.owner or vm.owner not in str(config.get("description") or "") or MARK not in tags:
        raise errors.NotOurs(f"VM {vm.vmid} on {vm.node} does not carry autovibe's mark; it is left alone.")


def prove_pool(http: Connection, vm: VM, pool: str) -> None:
    """Raises `NotOurs` for a VM that somebody has put into another pool than `pool`."""
    rows = http.get("cluster/resources", type="vm") if pool else []
    found = {str(row.get("pool") or pool) for row in rows if int(row.get("vmid") or 0) == vm.vmid}
    if found - {pool}:
        raise errors.NotOurs(
            f"VM {vm.vmid} is in the pool {', '.join(found)}, not in {pool}; it is left alone."
        )
