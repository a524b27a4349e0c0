"""Storages as a node has them: list, status, and what the handlers of VMs ask about them."""

from typing import Any

from proxmox.node.errors import BadParameters
from proxmox.node.host import Host
from proxmox.node.personalities import Personality
from proxmox.node.routes import FLAG, TEXT, Call, route
from proxmox.node.schema import Parameter

STORAGE = "/nodes/{node}/storage/{storage}"
CONTENT = Parameter(format="pve-storage-content-list")


def storages(host: Host) -> list[dict[str, Any]]:
    """Every storage of the node."""
    return [_row(host, storage) for storage in host.storages.all()]


def check_storage(host: Host, storage: str) -> Personality:
    """A storage. Raises `Failure` when it is not there."""
    return host.storages.get(storage)


def known(host: Host, call: Call) -> Personality:
    """The storage in the path. Raises `BadParameters`."""
    if call["storage"] not in host.storages:
        raise BadParameters({"storage": "No such storage."})
    return host.storages.get(call["storage"])


@route(
    "GET",
    "/nodes/{node}/storage",
    content=CONTENT,
    enabled=FLAG,
    format=FLAG,
    target=TEXT,
    storage=Parameter(format="pve-storage-id"),
)
def list_storages(host: Host, call: Call) -> list[dict[str, Any]]:
    wanted = set(call.get("content", "").split(",")) - {""}
    rows = [row for row in storages(host) if not wanted or wanted & set(row["content"].split(","))]
    return [row for row in rows if call.get("storage") in {None, row["storage"]}]


@route("GET", STORAGE)
def index(host: Host, call: Call) -> list[dict[str, str]]:
    known(host, call)
    names = ("content", "download-url", "prunebackups", "status", "upload")
    return [{"subdir": name} for name in names]


@route("GET", STORAGE + "/status")
def status(host: Host, call: Call) -> dict[str, Any]:
    row = _row(host, known(host, call))
    return {key: value for key, value in row.items() if key not in {"storage", "used_fraction"}}


def _row(host: Host, storage: Personality) -> dict[str, Any]:
    total, available = host.storage_bytes()
    return {
        "storage": storage.storage,
        "type": storage.plugin,
        "content": storage.content,
        "total": total,
        "avail": available,
        "used": total - available,
        "used_fraction": 1 - available / total,
        "active": int(host.faults.storage_available(storage.storage)),
        "enabled": 1,
        "shared": 0,
    }
