"""Storages: the one that disks are on, as the personality has it, and the directory `local` for backups."""

from typing import Any

from proxmox.node import archives, drives
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.host import Host
from proxmox.node.routes import FLAG, TEXT, Call, route
from proxmox.node.schema import Parameter
from proxmox.node.tasks import Task

BACKUPS = "local"
_STORAGE = "/nodes/{node}/storage/{storage}"


def storages(host: Host) -> list[dict[str, Any]]:
    """Every storage of the node."""
    total, available = host.storage_bytes()
    kinds = {BACKUPS: ("dir", "backup,iso,snippets,vztmpl")}
    kinds |= {host.personality.storage: (host.personality.plugin, host.personality.content)}
    common = {
        "total": total,
        "avail": available,
        "used": total - available,
        "active": 1,
        "enabled": 1,
        "shared": 0,
    }
    return [
        common | {"storage": name, "type": kind, "content": content, "used_fraction": 1 - available / total}
        for name, (kind, content) in sorted(kinds.items())
    ]


def check_storage(host: Host, storage: str) -> None:
    """Raises `Failure` for a storage that is not there."""
    if storage not in {BACKUPS, host.personality.storage}:
        raise Failure(f"storage '{storage}' does not exist")


@route(
    "GET",
    "/nodes/{node}/storage",
    content=TEXT,
    enabled=FLAG,
    format=FLAG,
    target=TEXT,
    storage=Parameter(format="pve-storage-id"),
)
def list_storages(host: Host, call: Call) -> list[dict[str, Any]]:
    wanted = set(call.get("content", "").split(",")) - {""}
    rows = [row for row in storages(host) if wanted <= set(row["content"].split(","))]
    return [row for row in rows if call.get("storage") in {None, row["storage"]}]


@route("GET", _STORAGE + "/status")
def status(host: Host, call: Call) -> dict[str, Any]:
    _known(host, call)
    row = next(row for row in storages(host) if row["storage"] == call["storage"])
    return {key: value for key, value in row.items() if key not in {"storage", "used_fraction"}}


@route("GET", _STORAGE + "/content", content=TEXT, vmid=Parameter("integer", format="pve-vmid"))
def content(host: Host, call: Call) -> list[dict[str, Any]]:
    _known(host, call)
    rows = _images(host) if call["storage"] == host.personality.storage else []
    rows += archives.listing(host.dump) if call["storage"] == BACKUPS else []
    return [
        row
        for row in rows
        if call.get("content") in {None, row["content"]} and call.get("vmid") in {None, row["vmid"]}
    ]


@route("GET", _STORAGE + "/content/{volume}")
def volume(host: Host, call: Call) -> dict[str, Any]:
    path = archives.find(host.dump, _archive(call))
    notes, size = archives.notes(path), path.stat().st_size
    protected = int(archives.protected(path))
    return {
        "path": str(path),
        "format": "raw",
        "size": size,
        "used": size,
        "notes": notes,
        "protected": protected,
    }


@route("PUT", _STORAGE + "/content/{volume}", notes=TEXT, protected=FLAG)
def edit_volume(host: Host, call: Call) -> None:
    path = archives.find(host.dump, _archive(call))
    if "notes" in call.parameters:
        archives.set_notes(path, call["notes"])
    if "protected" in call.parameters:
        archives.protect(path, call["protected"])


@route("DELETE", _STORAGE + "/content/{volume}", delay=Parameter("integer", minimum=1, maximum=30))
def delete_volume(host: Host, call: Call) -> str:
    _known(host, call)
    storage, name = call["storage"], _archive(call)
    subject = f"{archives.vmid_of(name)}@{storage}"

    def work(task: Task) -> None:
        path = host.dump / name.removeprefix("backup/")
        if path.exists() and archives.protected(path):
            raise Failure(f"cannot remove protected volume '{name}' on '{storage}'")
        archives.remove(path)
        task.log(f"Removed volume '{storage}:{name}'")

    return host.tasks.start("imgdel", subject, call.user, work)


def _known(host: Host, call: Call) -> None:
    if call["storage"] not in {BACKUPS, host.personality.storage}:
        raise BadParameters({"storage": "No such storage."})


def _archive(call: Call) -> str:
    """The volume's name without its storage. Only backups are handled one by one. Raises `Failure`."""
    name = str(call["volume"]).removeprefix(f"{call['storage']}:")
    if call["storage"] != BACKUPS or not archives.is_name(name):
        raise Failure(f"unable to parse directory volume name '{name}'")
    return name


def _images(host: Host) -> list[dict[str, Any]]:
    return [
        _image(host, vmid, drive)
        for vmid, config in host.configs.all().items()
        for drive in drives.disks(config.values)
    ]


def _image(host: Host, vmid: int, drive: drives.Drive) -> dict[str, Any]:
    disk = host.guests.disk(vmid)
    return {
        "volid": drive.volume,
        "content": "images",
        "format": host.personality.image_format,
        "vmid": vmid,
        "size": drive.size_bytes,
        "ctime": int(disk.stat().st_ctime) if disk.exists() else 0,
    }
