"""The cluster's list of storages: read it, add a directory, change what a storage holds, forget one."""

import hashlib
import json
from typing import Any

from proxmox.node.api.storage import CONTENT
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.host import Host
from proxmox.node.routes import FLAG, TEXT, Call, route
from proxmox.node.schema import Parameter

_TYPES = (
    *(
        "btrfs",
        "cephfs",
        "cifs",
        "dir",
        "esxi",
        "iscsi",
        "iscsidirect",
        "lvm",
        "lvmthin",
        "nfs",
        "pbs",
        "rbd",
    ),
    *("zfs", "zfspool"),
)
_CHAIN = "snapshot-as-volume-chain"
_EDIT = {
    "content": CONTENT,
    "disable": FLAG,
    "shared": FLAG,
    "nodes": TEXT,
    "prune-backups": TEXT,
    "preallocation": Parameter(enum=("off", "metadata", "falloc", "full")),
}


@route("GET", "/storage", type=Parameter(enum=_TYPES))
def storages(host: Host, call: Call) -> list[dict[str, Any]]:
    rows = [storage.described() | {"digest": _digest(host)} for storage in host.storages.all()]
    return [row for row in rows if call.get("type") in {None, row["type"]}]


@route("GET", "/storage/{storage}")
def storage(host: Host, call: Call) -> dict[str, Any]:
    return host.storages.get(call["storage"]).described() | {"digest": _digest(host)}


@route(
    "POST",
    "/storage",
    storage=Parameter(optional=False, format="pve-storage-id"),
    type=Parameter(optional=False, enum=_TYPES),
    path=Parameter(pattern=r"/.*"),
    **{_CHAIN: FLAG},
    **_EDIT,
)
def create(host: Host, call: Call) -> dict[str, Any]:
    name, kind = call["storage"], call["type"]
    if name in host.storages:
        raise Failure(f"create storage failed: storage ID '{name}' already defined")
    if kind != "dir":
        raise Failure(
            f"create storage failed: the embedded node adds only storages of the type 'dir', not '{kind}'"
        )
    if not call.get("path"):
        raise BadParameters({"path": "property is missing and it is not optional"})
    change = {
        "path": call["path"],
        "content": call.get("content", "images,rootdir"),
        "chain": call.get(_CHAIN),
    }
    host.storages.change(name, change)
    return {"storage": name, "type": kind}


@route("PUT", "/storage/{storage}", digest=Parameter(max_length=64), delete=TEXT, **_EDIT)
def update(host: Host, call: Call) -> dict[str, Any]:
    storage = host.storages.get(call["storage"])
    if call.get("digest", _digest(host)) != _digest(host):
        raise Failure("detected modified configuration - file changed by other user? Try again.")
    if content := call.get("content"):
        host.storages.change(
            storage.storage, {"content": content, "path": storage.path, "chain": storage.chain}
        )
    return {"storage": storage.storage, "type": storage.plugin}


@route("DELETE", "/storage/{storage}")
def delete(host: Host, call: Call) -> None:
    if call["storage"] not in host.storages:
        raise Failure(f"delete storage failed: storage '{call['storage']}' does not exist")
    host.storages.remove(call["storage"])


def _digest(host: Host) -> str:
    listed = json.dumps([storage.described() for storage in host.storages.all()])
    return hashlib.sha1(listed.encode(), usedforsecurity=False).hexdigest()
