"""Privileges that depend on checked parameters or on a VM's configuration, asked for before the handler acts.

Which options need what is qemu-server's: PVE/API2/Qemu.pm. Only root@pam with a ticket is asked nothing.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from proxmox.node import drives, upid
from proxmox.node.access.accounts import ROOT
from proxmox.node.access.options import check_bridges, check_option, check_options, check_vm
from proxmox.node.access.permissions import denied
from proxmox.node.access.rules import NODE, STORAGE, VM
from proxmox.node.access.volumes import check_volume, owner_of_backup
from proxmox.node.errors import BadParameters
from proxmox.node.routes import Call

if TYPE_CHECKING:
    from proxmox.node.host import Host

Condition = Callable[["Host", Call], None]


def check(host: "Host", method: str, path: str, call: Call) -> None:
    """Raises `Failure` (mostly 403) when somebody may not do that. `path` is the route's, with its `{…}`."""
    if call.user == ROOT:
        return
    if call.get("skiplock"):
        raise BadParameters({"skiplock": "Only root may use this option."})
    if condition := _CONDITIONS.get(f"{method} {path}"):
        condition(host, call)


# --- VMs ---


def _create(host: "Host", call: Call) -> None:
    permissions, pool = host.permissions, call.get("pool", "")
    if pool and pool not in host.pools:
        raise denied(f"pool '{pool}' does not exist")
    if storage := call.get("storage"):
        permissions.check(call.user, f"/storage/{storage}", "Datastore.AllocateSpace")
    if call.get("start"):
        check_vm(host, call, pool, "VM.PowerMgmt")
    if not _may_allocate(host, call, pool):
        raise denied()
    if archive := call.get("archive"):
        check_volume(host, call.user, archive, vmid=call.vmid)
    check_options(host, call, pool)


def _may_allocate(host: "Host", call: Call, pool: str) -> bool:
    """A VM that is there may also be overwritten from a backup by who may restore it."""
    paths = [f"/vms/{call.vmid}", *([f"/pool/{pool}"] if pool else [])]
    if any(host.permissions.allows(call.user, path, "VM.Allocate") for path in paths):
        return True
    overwrites = call.get("archive") and call.get("force") and call.vmid in host.configs
    return bool(overwrites and host.permissions.allows(call.user, paths[0], "VM.Backup"))


def _configure(host: "Host", call: Call) -> None:
    for option in _names(call.get("delete", "")):
        check_option(host, call, "", option)
    check_options(host, call, "")


def _clone(host: "Host", call: Call) -> None:
    """Room for every disk on its storage, and the use of every bridge."""
    if (pool := call.get("pool")) and pool not in host.pools:
        raise denied(f"pool '{pool}' does not exist")
    if call.vmid not in host.configs:
        return
    config = host.configs.view(call.vmid)
    values = config.snapshots.get(call.get("snapname", ""), config.values)
    for drive in drives.disks(values):
        storage = call.get("storage") or drive.volume.partition(":")[0]
        host.permissions.check(call.user, f"/storage/{storage}", "Datastore.AllocateSpace")
    check_bridges(host, call.user, values)


def _roll_back(host: "Host", call: Call) -> None:
    if call.get("start"):
        host.permissions.check(call.user, f"/vms/{call.vmid}", "VM.PowerMgmt")


def _move_disk(host: "Host", call: Call) -> None:
    if target := call.get("target-vmid"):
        host.permissions.check(call.user, f"/vms/{target}", "VM.Config.Disk")
    if storage := call.get("storage"):
        host.permissions.check(call.user, f"/storage/{storage}", "Datastore.AllocateSpace")


def _resize(host: "Host", call: Call) -> None:
    if text := (host.configs.view(call.vmid).values if call.vmid in host.configs else {}).get(call["disk"]):
        storage = drives.parse(call["disk"], str(text)).volume.partition(":")[0]
        host.permissions.check(call.user, f"/storage/{storage}", "Datastore.AllocateSpace")


def _suspend(host: "Host", call: Call) -> None:
    if call.get("todisk"):
        host.permissions.check(call.user, f"/vms/{call.vmid}", "VM.Config.Disk")
    if storage := call.get("statestorage"):
        host.permissions.check(call.user, f"/storage/{storage}", "Datastore.AllocateSpace")


# --- backups, volumes, tasks, pools ---


def _back_up(host: "Host", call: Call) -> None:
    for name in ("tmpdir", "dumpdir", "script", "job-id"):
        if name in call.parameters:
            raise BadParameters({name: "Only root may set this option."})
    if any(name in call.parameters for name in ("bwlimit", "ionice", "performance")):
        host.permissions.check(call.user, "/", "Sys.Modify")
    path = f"/storage/{call.get('storage', 'local')}"
    if "prune-backups" in call.parameters:
        host.permissions.check(call.user, path, "Datastore.Allocate")
    host.permissions.check(call.user, path, "Datastore.AllocateSpace")


def _volume(host: "Host", call: Call) -> None:
    check_volume(host, call.user, _volume_id(call))


def _delete_volume(host: "Host", call: Call) -> None:
    storage, _, name = _volume_id(call).partition(":")
    _check_removal(host, call.user, storage, owner_of_backup(name))


def _prune(host: "Host", call: Call) -> None:
    _check_removal(host, call.user, call["storage"], int(call.get("vmid") or 0))


def _extract(host: "Host", call: Call) -> None:
    check_volume(host, call.user, call["volume"])
    if owner := owner_of_backup(call["volume"].partition(":")[2]):
        host.permissions.check(call.user, f"/vms/{owner}", "VM.Backup")


def _check_removal(host: "Host", who: str, storage: str, owner: int) -> None:
    """Backups of one's VMs may go with less than everything else on a storage."""
    needed = "Datastore.AllocateSpace" if owner else "Datastore.Allocate"
    host.permissions.check(who, f"/storage/{storage}", needed)
    if owner:
        host.permissions.check(who, f"/vms/{owner}", "VM.Backup")


def _volume_id(call: Call) -> str:
    volume = str(call["volume"])
    return volume if ":" in volume else f"{call['storage']}:{volume}"


def _task(privilege: str) -> Condition:
    def check(host: "Host", call: Call) -> None:
        task = upid.parse(call["upid"])
        if task and not owns_task(call.user, task.user):
            host.permissions.check(call.user, f"/nodes/{host.name}", privilege)

    return check


def owns_task(who: str, owner: str) -> bool:
    """A user has the tasks of all own tokens; a token has its own only."""
    return who == owner or who == owner.partition("!")[0]


def _pool_members(host: "Host", call: Call) -> None:
    for vmid in _names(call.get("vms", "")):
        host.permissions.check_modify(call.user, f"/vms/{vmid}")
        former = host.pools.of(int(vmid))
        if call.get("allow-move") and former:
            host.permissions.check(call.user, f"/pool/{former}", "Pool.Allocate")


def _pool(host: "Host", call: Call) -> None:
    if pool := call.get("poolid"):
        host.permissions.check(call.user, f"/pool/{pool}", "Pool.Audit")


def _names(listed: str) -> list[str]:
    return [name for name in re.split(r"[,; ]+", listed) if name]


_CONDITIONS: Mapping[str, Condition] = {
    f"POST {NODE}/qemu": _create,
    f"POST {VM}/config": _configure,
    f"PUT {VM}/config": _configure,
    f"POST {VM}/clone": _clone,
    f"POST {VM}/snapshot/{{snapname}}/rollback": _roll_back,
    f"POST {VM}/move_disk": _move_disk,
    f"PUT {VM}/resize": _resize,
    f"POST {VM}/status/suspend": _suspend,
    f"POST {NODE}/vzdump": _back_up,
    f"GET {NODE}/vzdump/extractconfig": _extract,
    f"GET {STORAGE}/content/{{volume}}": _volume,
    f"PUT {STORAGE}/content/{{volume}}": _volume,
    f"DELETE {STORAGE}/content/{{volume}}": _delete_volume,
    f"DELETE {STORAGE}/prunebackups": _prune,
    f"GET {NODE}/tasks/{{upid}}/status": _task("Sys.Audit"),
    f"GET {NODE}/tasks/{{upid}}/log": _task("Sys.Audit"),
    f"DELETE {NODE}/tasks/{{upid}}": _task("Sys.Modify"),
    "GET /pools": _pool,
    "PUT /pools": _pool_members,
    "PUT /pools/{poolid}": _pool_members,
}
