"""What of a list somebody is shown: Proxmox answers lists to everybody, without the rows that are not theirs."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from proxmox.node.access.accounts import ROOT
from proxmox.node.access.conditions import owns_task
from proxmox.node.access.rules import NODE, STORAGE
from proxmox.node.access.volumes import usable
from proxmox.node.routes import Call

if TYPE_CHECKING:
    from proxmox.node.host import Host

Row = dict[str, Any]
Filter = Callable[["Host", str, list[Row]], list[Row]]

# What of a node everybody is shown.
_OF_NODE = ("id", "node", "type", "status", "level", "ssl_fingerprint", "cgroup-mode", "host-arch")


def filtered(host: "Host", method: str, path: str, call: Call, data: Any) -> Any:
    """The answer of a route without what its user may not see."""
    keep = _FILTERS.get(f"{method} {path}")
    return keep(host, call.user, data) if keep and call.user != ROOT and isinstance(data, list) else data


def tasks(host: "Host", who: str, rows: list[Row]) -> list[Row]:
    """One's own tasks, or all of them for auditors; a list of which the API shows a part at a time."""
    if host.permissions.allows(who, f"/nodes/{host.name}", "Sys.Audit"):
        return rows
    return [row for row in rows if owns_task(who, _owner(row))]


def _owner(task: Row) -> str:
    return f"{task['user']}!{task['tokenid']}" if "tokenid" in task else str(task["user"])


def _vms(host: "Host", who: str, rows: list[Row]) -> list[Row]:
    return [row for row in rows if host.permissions.allows(who, f"/vms/{row['vmid']}", "VM.Audit")]


def _nodes(host: "Host", who: str, rows: list[Row]) -> list[Row]:
    return [_node(host, who, row) for row in rows]


def _node(host: "Host", who: str, row: Row) -> Row:
    if host.permissions.allows(who, f"/nodes/{row['node']}", "Sys.Audit"):
        return row
    return {name: value for name, value in row.items() if name in _OF_NODE}


def _resources(host: "Host", who: str, rows: list[Row]) -> list[Row]:
    needed = {"storage": ("/storage/{storage}", "Datastore.Audit"), "qemu": ("/vms/{vmid}", "VM.Audit")}
    needed |= {"pool": ("/pool/{pool}", "Pool.Audit")}
    needed |= dict.fromkeys(("sdn", "network"), ("/sdn/zones/localnetwork", "SDN.Audit"))
    shown = []
    for row in rows:
        path, privilege = needed.get(row["type"], ("", ""))
        if row["type"] == "node":
            shown.append(_node(host, who, row))
        elif host.permissions.allows(who, path.format(**row), privilege):
            shown.append(_without_pool(host, who, row))
    return shown


def _without_pool(host: "Host", who: str, row: Row) -> Row:
    pool = row.get("pool")
    if pool is None or host.permissions.allows(who, f"/pool/{pool}", "Pool.Audit"):
        return row
    return {name: value for name, value in row.items() if name != "pool"}


def _storages(host: "Host", who: str, rows: list[Row]) -> list[Row]:
    needed = ("Datastore.Audit", "Datastore.AllocateSpace")
    return [row for row in rows if host.permissions.allows_any(who, f"/storage/{row['storage']}", *needed)]


def _contents(host: "Host", who: str, rows: list[Row]) -> list[Row]:
    return [row for row in rows if usable(host, who, row["volid"])]


def _pools(host: "Host", who: str, rows: list[Row]) -> list[Row]:
    return [row for row in rows if host.permissions.allows(who, f"/pool/{row['poolid']}", "Pool.Audit")]


_FILTERS: Mapping[str, Filter] = {
    f"GET {NODE}/qemu": _vms,
    "GET /nodes": _nodes,
    "GET /cluster/resources": _resources,
    f"GET {NODE}/storage": _storages,
    "GET /storage": _storages,
    f"GET {STORAGE}/content": _contents,
    "GET /pools": _pools,
}
