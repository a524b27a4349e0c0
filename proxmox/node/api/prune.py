"""Pruning: which backups a retention would remove, and removing them (pve-storage: PruneBackups.pm)."""

from collections.abc import Callable
from typing import Any

from proxmox.node import archives, retention
from proxmox.node.api.storage import STORAGE
from proxmox.node.errors import Failure
from proxmox.node.host import Host
from proxmox.node.retention import Retention
from proxmox.node.routes import TEXT, Call, route
from proxmox.node.schema import Parameter
from proxmox.node.tasks import Task

MAX_PROTECTED = 5  # of a VM's backups, for those who may not do everything with the storage

_PRUNE = {
    "prune-backups": TEXT,
    "type": Parameter(enum=("qemu", "lxc")),
    "vmid": Parameter("integer", format="pve-vmid"),
}


@route("GET", STORAGE + "/prunebackups", **_PRUNE)
def preview(host: Host, call: Call) -> list[dict[str, Any]]:
    return _marked(host, call["storage"], _retention(call), call.get("vmid"), call.get("type", "qemu"))


@route("DELETE", STORAGE + "/prunebackups", **_PRUNE)
def prune_backups(host: Host, call: Call) -> str:
    storage, vmid, kind = call["storage"], call.get("vmid"), call.get("type", "qemu")
    keep = _retention(call) if call.get("prune-backups") else None

    def work(task: Task) -> None:
        if keep is None:
            raise Failure(f"no prune-backups options configured for storage '{storage}'")
        if kind == "qemu":
            prune(host, storage, keep, vmid, task.log)

    subject = f"{vmid}@{storage}" if vmid else storage
    return host.tasks.start("prunebackups", subject, call.user, work)


def check_protected(host: Host, user: str, storage: str, vmid: int) -> None:
    """Raises `Failure` when a user may protect no more of a VM's backups (PVE::Storage: get_max_protected_backups)."""
    limit = host.options.max_protected
    if limit < 0 and not host.permissions.allows(user, f"/storage/{storage}", "Datastore.Allocate"):
        limit = MAX_PROTECTED
    archives.check_protected(host.dump(storage), vmid, limit, storage)


def prune(host: Host, storage: str, keep: Retention, vmid: int | None, log: Callable[[str], None]) -> int:
    """Remove what a retention does not keep; how many that were."""
    rows = [row for row in _marked(host, storage, keep, vmid, "qemu") if row["mark"] == "remove"]
    for row in rows:
        log(f"removing backup '{row['volid']}'")
        archives.remove(archives.find(host.dump(storage), row["volid"]))
    return len(rows)


def _retention(call: Call) -> Retention:
    if not call.get("prune-backups"):
        raise Failure(f"no prune-backups options configured for storage '{call['storage']}'")
    return retention.parse(call["prune-backups"])


def _marked(host: Host, storage: str, keep: Retention, vmid: int | None, kind: str) -> list[dict[str, Any]]:
    """Every backup with what would become of it. Each VM's are a group; protected ones are in none."""
    if not host.storages.get(storage).takes_backups:
        raise Failure(f"storage '{storage}' does not support backups")
    present = archives.listing(host.dump(storage), storage) if kind == "qemu" else []
    rows = [row for row in present if vmid in {None, row["vmid"]}]
    groups: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        if "protected" not in row:
            groups.setdefault(row["vmid"], []).append(row)
    marks = {row["volid"]: "protected" for row in rows}
    for group in groups.values():
        kept = retention.marked([row["ctime"] for row in group], keep)
        marks |= {row["volid"]: "keep" if keeps else "remove" for row, keeps in zip(group, kept, strict=True)}
    return [
        {"volid": row["volid"], "ctime": row["ctime"], "type": kind, "vmid": row["vmid"]}
        | {"mark": marks[row["volid"]]}
        for row in rows
    ]
