"""Version, nodes, cluster, pools."""

from typing import Any

from proxmox.node.api.node import node_row
from proxmox.node.api.storage import storages
from proxmox.node.api.vms import described, disk_traffic
from proxmox.node.configs import Config
from proxmox.node.errors import BadParameters
from proxmox.node.host import REPOID, Host
from proxmox.node.identity import PREFIX
from proxmox.node.routes import FLAG, TEXT, Call, route
from proxmox.node.schema import Parameter

_POOL = Parameter(optional=False, format="pve-poolid")
_STATISTICS = (
    *("name", "status", "cpu", "mem", "maxmem", "memhost", "disk", "maxdisk", "uptime", "netin", "netout"),
    *("diskread", "diskwrite"),
)


@route("GET", "/")
def root(host: Host, call: Call) -> list[dict[str, str]]:
    return [{"subdir": name} for name in ("version", "cluster", "nodes", "storage", "access", "pools")]


@route("GET", "/version")
def version(host: Host, call: Call) -> dict[str, str]:
    return {"version": host.release.version, "release": host.release.name, "repoid": REPOID}


@route("GET", "/cluster/options")
def options(host: Host, call: Call) -> dict[str, Any]:
    return {"allowed-tags": [], "description": "", "mac_prefix": PREFIX}


@route("GET", "/cluster/status")
def cluster_status(host: Host, call: Call) -> list[dict[str, Any]]:
    """One node alone is no cluster and always quorate; it is called one only to show that it has lost quorum."""
    node = {
        "type": "node",
        "id": f"node/{host.name}",
        "name": host.name,
        "nodeid": 0,
        "local": 1,
        "level": "",
    }
    rows = [node | {"online": int(not host.faults.node_down), "ip": host.options.host}]
    if not host.faults.quorate:
        rows.append(
            {"type": "cluster", "id": "cluster", "name": host.name, "nodes": 2, "quorate": 0, "version": 1}
        )
    return rows


@route("GET", "/cluster/resources", type=Parameter(enum=("vm", "storage", "node", "sdn")))
def resources(host: Host, call: Call) -> list[dict[str, Any]]:
    wanted = call.get("type")
    rows: list[dict[str, Any]] = []
    if wanted in {None, "vm"}:
        statistics = host.statistics.rows(host, resource, unknown)
        rows += [row | _live(host, row["vmid"]) for row in statistics]
    if wanted in {None, "node"}:
        rows.append(node_row(host))
    if wanted in {None, "storage"}:
        rows += [_storage(host, storage) for storage in storages(host)]
    if wanted in {None, "sdn"}:
        rows.append(_zone(host))
    return rows


@route("GET", "/cluster/nextid", vmid=Parameter("integer", format="pve-vmid"))
def nextid(host: Host, call: Call) -> str:
    wanted = call.get("vmid")
    if wanted in host.configs.all():
        raise BadParameters({"vmid": f"VM {wanted} already exists"})
    return str(wanted or next(vmid for vmid in range(100, 1_000_000) if vmid not in host.configs))


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


def resource(host: Host, vmid: int) -> dict[str, Any]:
    """A VM as the statistics of the cluster have it."""
    status = described(host, vmid)
    row = {
        "type": "qemu",
        "id": f"qemu/{vmid}",
        "node": host.name,
        "vmid": vmid,
        "maxcpu": status.pop("cpus"),
        "template": int(host.configs.view(vmid).values.get("template", 0)),
    }
    row |= disk_traffic(host, vmid)
    return row | {key: status[key] for key in _STATISTICS if key in status}


def unknown(host: Host, vmid: int) -> dict[str, Any]:
    """A VM of which no statistics have arrived."""
    return {"type": "qemu", "id": f"qemu/{vmid}", "node": host.name, "vmid": vmid, "status": "unknown"}


def _live(host: Host, vmid: int) -> dict[str, Any]:
    """What never comes from statistics but from the files of the cluster (pve-manager: PVE/API2/Cluster.pm)."""
    config = host.configs.all().get(vmid, Config())
    values = {"pool": host.pools.of(vmid)} | {key: config.values.get(key) for key in ("lock", "tags")}
    return {key: value for key, value in values.items() if value}


def _zone(host: Host) -> dict[str, Any]:
    if host.release.network_type == "sdn":
        name = {"id": f"sdn/{host.name}/localnetwork", "sdn": "localnetwork"}
    else:
        name = {
            "id": f"network/{host.name}/zone/localnetwork",
            "network": "localnetwork",
            "network-type": "zone",
        }
    return name | {"type": host.release.network_type, "node": host.name, "status": "ok"}


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
    rows = {row["vmid"]: row for row in host.statistics.rows(host, resource, unknown)}
    members = [rows[vmid] for vmid in host.pools.members(pool) if vmid in rows]
    return {"poolid": pool, "comment": host.pools.comment(pool), "members": members}
