"""Version, nodes, cluster, pools, permissions."""

import os
import platform
import time
from typing import Any

from proxmox.node.api.storage import storages
from proxmox.node.api.vms import described
from proxmox.node.errors import BadParameters
from proxmox.node.host import RELEASE, REPOID, VERSION, Host
from proxmox.node.routes import FLAG, TEXT, Call, route
from proxmox.node.schema import Parameter

_POOL = Parameter(optional=False, format="pve-poolid")
_PRIVILEGES = (
    *("Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit"),
    *("Pool.Allocate", "Pool.Audit", "SDN.Audit", "SDN.Use", "Sys.Audit", "Sys.Modify"),
    *("VM.Allocate", "VM.Audit", "VM.Backup", "VM.Clone", "VM.Config.CDROM", "VM.Config.CPU"),
    *("VM.Config.Cloudinit", "VM.Config.Disk", "VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network"),
    *("VM.Config.Options", "VM.Console", "VM.GuestAgent.Audit", "VM.GuestAgent.FileRead"),
    *("VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.FileWrite", "VM.GuestAgent.Unrestricted"),
    *("VM.PowerMgmt", "VM.Snapshot", "VM.Snapshot.Rollback"),
)
_PATHS = ("/", "/access", "/nodes", "/pool", "/sdn", "/storage", "/vms")


@route("GET", "/version")
def version(host: Host, call: Call) -> dict[str, str]:
    return {"version": VERSION, "release": RELEASE, "repoid": REPOID}


@route("GET", "/nodes/{node}/version")
def node_version(host: Host, call: Call) -> dict[str, str]:
    return {"version": VERSION, "release": RELEASE, "repoid": REPOID}


@route("GET", "/nodes")
def nodes(host: Host, call: Call) -> list[dict[str, Any]]:
    return [_node(host)]


@route("GET", "/nodes/{node}/status")
def node_status(host: Host, call: Call) -> dict[str, Any]:
    row, (total, available) = _node(host), host.storage_bytes()
    return {
        "pveversion": f"pve-manager/{VERSION}/{REPOID}",
        "kversion": f"{platform.system()} {platform.release()} {platform.version()}",
        "loadavg": [f"{load:.2f}" for load in os.getloadavg()],
        "uptime": row["uptime"],
        "cpu": row["cpu"],
        "memory": {"total": row["maxmem"], "used": row["mem"], "free": row["maxmem"] - row["mem"]},
        "rootfs": {"total": total, "avail": available, "free": available, "used": total - available},
        "cpuinfo": {"cpus": row["maxcpu"], "cores": row["maxcpu"], "sockets": 1, "model": platform.machine()},
    }


@route("GET", "/cluster/status")
def cluster_status(host: Host, call: Call) -> list[dict[str, Any]]:
    node = {
        "type": "node",
        "id": f"node/{host.name}",
        "name": host.name,
        "nodeid": 0,
        "online": 1,
        "local": 1,
    }
    return [node | {"level": "", "ip": host.options.host}]


@route("GET", "/cluster/resources", type=Parameter(enum=("vm", "storage", "node", "sdn", "network")))
def resources(host: Host, call: Call) -> list[dict[str, Any]]:
    wanted = call.get("type")
    rows: list[dict[str, Any]] = []
    if wanted in {None, "vm"}:
        rows += [_vm(host, vmid) for vmid in host.configs.all()]
    if wanted in {None, "node"}:
        rows.append(_node(host))
    if wanted in {None, "storage"}:
        rows += [_storage(host, storage) for storage in storages(host)]
    return rows


@route("GET", "/cluster/nextid", vmid=Parameter("integer", format="pve-vmid"))
def nextid(host: Host, call: Call) -> str:
    wanted = call.get("vmid")
    if wanted in host.configs.all():
        raise BadParameters({"vmid": f"VM {wanted} already exists"})
    return str(wanted or next(vmid for vmid in range(100, 1_000_000) if vmid not in host.configs))


@route("GET", "/access/permissions", path=TEXT, userid=TEXT)
def permissions(host: Host, call: Call) -> dict[str, dict[str, int]]:
    paths = [call["path"]] if call.get("path") else _PATHS
    return {path: dict.fromkeys(_PRIVILEGES, 1) for path in paths}


@route(
    "GET", "/pools", poolid=Parameter(format="pve-poolid"), type=Parameter(enum=("qemu", "lxc", "storage"))
)
def pools(host: Host, call: Call) -> list[dict[str, Any]]:
    if pool := call.get("poolid"):
        return [_pool(host, pool)]
    return [{"poolid": pool, "comment": host.pools.comment(pool)} for pool in host.pools.names()]


@route("GET", "/pools/{poolid}", type=Parameter(enum=("qemu", "lxc", "storage")))
def pool_members(host: Host, call: Call) -> dict[str, Any]:
    return _pool(host, call["poolid"])


@route("POST", "/pools", poolid=_POOL, comment=TEXT)
def create_pool(host: Host, call: Call) -> None:
    host.pools.create(call["poolid"], call.get("comment", ""))


_EDIT = {
    "comment": TEXT,
    "vms": Parameter(format="pve-vmid-list"),
    "storage": TEXT,
    "delete": FLAG,
    "allow-move": FLAG,
}


@route("PUT", "/pools/{poolid}", **_EDIT)
@route("PUT", "/pools", poolid=_POOL, **_EDIT)
def update_pool(host: Host, call: Call) -> None:
    pool = call["poolid"]
    host.pools.members(pool)
    if "comment" in call.parameters:
        host.pools.describe(pool, call["comment"])
    for vmid in map(
        int, call.get("vms", "").replace(";", ",").replace(" ", ",").split(",") if call.get("vms") else ()
    ):
        if call.get("allow-move") or call.get("delete"):
            host.pools.remove(vmid)
        if not call.get("delete"):
            host.pools.add(pool, vmid)


@route("DELETE", "/pools/{poolid}")
@route("DELETE", "/pools", poolid=_POOL)
def delete_pool(host: Host, call: Call) -> None:
    host.pools.delete(call["poolid"])


def _node(host: Host) -> dict[str, Any]:
    total, available = host.storage_bytes()
    memory, free = _memory()
    cores = os.cpu_count() or 1
    return {
        "type": "node",
        "id": f"node/{host.name}",
        "node": host.name,
        "status": "online",
        "level": "",
        "cpu": min(1.0, os.getloadavg()[0] / cores),
        "maxcpu": cores,
        "mem": memory - free,
        "maxmem": memory,
        "disk": total - available,
        "maxdisk": total,
        "uptime": int(time.time() - host.started_at),
    }


def _memory() -> tuple[int, int]:
    """Total and available bytes of main memory; what cannot be known here is 0."""
    page, total = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    available = os.sysconf("SC_AVPHYS_PAGES") if "SC_AVPHYS_PAGES" in os.sysconf_names else 0
    return total * page, available * page


def _vm(host: Host, vmid: int) -> dict[str, Any]:
    status = described(host, vmid)
    row = {
        "type": "qemu",
        "id": f"qemu/{vmid}",
        "node": host.name,
        "vmid": vmid,
        "maxcpu": status.pop("cpus"),
        "template": int(host.configs.view(vmid).values.get("template", 0)),
        "diskread": 0,
        "diskwrite": 0,
    }
    kept = (
        "name",
        "status",
        "cpu",
        "mem",
        "maxmem",
        "disk",
        "maxdisk",
        "uptime",
        "netin",
        "netout",
        "lock",
        "tags",
    )
    pool = host.pools.of(vmid)
    return row | {key: status[key] for key in kept if key in status} | ({"pool": pool} if pool else {})


def _storage(host: Host, storage: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "storage",
        "id": f"storage/{host.name}/{storage['storage']}",
        "node": host.name,
        "storage": storage["storage"],
        "status": "available",
        "plugintype": storage["type"],
        "content": storage["content"],
        "shared": 0,
        "disk": storage["used"],
        "maxdisk": storage["total"],
    }


def _pool(host: Host, pool: str) -> dict[str, Any]:
    members = [_vm(host, vmid) for vmid in host.pools.members(pool) if vmid in host.configs]
    return {"poolid": pool, "comment": host.pools.comment(pool), "members": members}
