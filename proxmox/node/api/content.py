"""What is on a storage: disks, images, backups. List, look at one, allocate, edit, delete."""

import time
from pathlib import Path
from typing import Any

from proxmox.node import archives, drives, files
from proxmox.node.api.prune import check_protected
from proxmox.node.api.storage import STORAGE, known
from proxmox.node.errors import Failure
from proxmox.node.host import Host
from proxmox.node.personalities import Personality
from proxmox.node.routes import FLAG, TEXT, VMID, Call, route
from proxmox.node.schema import Parameter
from proxmox.node.tasks import Task

_VOLUME = STORAGE + "/content/{volume}"
_DELAY = Parameter("integer", minimum=1, maximum=30)


@route("GET", STORAGE + "/content", content=TEXT, vmid=Parameter("integer", format="pve-vmid"))
def content(host: Host, call: Call) -> list[dict[str, Any]]:
    storage = known(host, call)
    rows = [_image(host, storage, row) for row in host.volumes.rows() if _is_on(storage, row["volid"])]
    if storage.path:
        rows += [*host.files.rows(storage), *archives.listing(host.dump(storage.storage), storage.storage)]
    wanted, vmid = call.get("content"), call.get("vmid")
    return [row for row in rows if wanted in {None, row["content"]} and vmid in {None, row.get("vmid")}]


@route("GET", _VOLUME)
def volume(host: Host, call: Call) -> dict[str, Any]:
    storage, name = known(host, call), _name(call)
    if _is_backup(storage, name):
        return _backup(host, storage, name)
    if host.files.kind(name):
        path = files.found(host.files, storage.storage, name)
        size = path.stat().st_size
        return {"path": files.nominal(storage, name), "format": "raw", "size": size, "used": size}
    row = _volume_row(host, storage, name)
    described = {"format": storage.format_of(name), "size": row["size"], "used": _used(host, row)}
    return described | {"path": storage.filename(name) if storage.path else f"/dev/{storage.storage}/{name}"}


@route(
    "POST",
    STORAGE + "/content",
    filename=Parameter(optional=False),
    vmid=VMID,
    size=Parameter(optional=False, pattern=r"\d+[MG]?"),
    format=Parameter(enum=("raw", "qcow2", "subvol", "vmdk"), requires="size"),
)
def allocate(host: Host, call: Call) -> str:
    """A disk that no VM has yet. Sizes without a unit are KiB."""
    storage, vmid, name = known(host, call), call.vmid, call["filename"]
    if not storage.holds("images"):
        raise Failure(f"storage '{storage.storage}' does not support content-type 'images'")
    if not storage.path and storage.owner(name) != vmid:
        raise Failure(f"illegal name '{name}' - should be 'vm-{vmid}-*'")
    volume = f"{storage.storage}:{f'{vmid}/{name}' if storage.path else name}"
    if host.volumes.exists(volume):
        raise Failure(_taken(storage, volume))
    size = str(call["size"])
    host.volumes.allocate(volume, vmid, drives.size_bytes(size if size[-1] in "MG" else f"{size}K"))
    return volume


@route("PUT", _VOLUME, notes=TEXT, protected=FLAG)
def edit_volume(host: Host, call: Call) -> None:
    storage, name = known(host, call), _name(call)
    if not _is_backup(storage, name):
        raise Failure("attribute 'notes' is not supported for storage type")
    path = _archive(host, storage, name)
    if "notes" in call.parameters:
        archives.set_notes(path, call["notes"])
    if call.get("protected") and not archives.protected(path):
        check_protected(host, call.user, call["storage"], archives.vmid_of(name))
    if "protected" in call.parameters:
        archives.protect(path, call["protected"])


@route("DELETE", _VOLUME, delay=_DELAY)
def delete_volume(host: Host, call: Call) -> str | None:
    storage, name = known(host, call), _name(call)
    owner = _owner(host, storage, name)
    subject = f"{owner}@{storage.storage}" if owner else storage.storage
    upid = host.tasks.start("imgdel", subject, call.user, lambda task: _delete(host, storage, name, task))
    return None if _over(host, upid, call.get("delay", 0)) else upid


def _over(host: Host, upid: str, seconds: float) -> bool:
    """Whether a task ends well within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (status := host.tasks.status(upid))["status"] == "stopped":
            return bool(status["exitstatus"] == "OK")
        time.sleep(0.05)
    return False


def _delete(host: Host, storage: Personality, name: str, task: Task) -> None:
    if _is_backup(storage, name):
        path = host.dump(storage.storage) / name.removeprefix("backup/")
        if path.exists() and archives.protected(path):
            raise Failure(f"cannot remove protected volume '{name}' on '{storage.storage}'")
        if not path.exists():
            task.log(f"disk image '{storage.path}/dump/{path.name}' does not exist")
        archives.remove(path)
    elif host.files.kind(name):
        host.files.path(storage.storage, name).unlink(missing_ok=True)
    else:
        free(host, f"{storage.storage}:{name}")
    task.log(f"Removed volume '{storage.storage}:{name}'")


def free(host: Host, volume: str) -> None:
    """Delete a disk, and its VM's files when it is the first one. Nobody checks whether the VM is on."""
    vmid = host.storages.of(volume).owner(volume)
    config = host.configs.view(vmid) if vmid in host.configs else None
    first = drives.first(config.values) if config else None
    host.volumes.free(volume)
    if first and first.volume == volume:
        host.disks.destroy(vmid)


def _name(call: Call) -> str:
    """The volume's name without its storage."""
    return str(call["volume"]).removeprefix(f"{call['storage']}:")


def _owner(host: Host, storage: Personality, name: str) -> int:
    """The VMID in a volume's name, 0 for images. Raises `Failure`."""
    if _is_backup(storage, name):
        return archives.vmid_of(name)
    if host.files.kind(name):
        return 0
    directory = name.partition("/")[0]
    if storage.path and "/" in name and directory.isdecimal():
        return int(directory) if name.count("/") == 1 else storage.owner(name)
    return storage.owner(name)


def _is_on(storage: Personality, volume: str) -> bool:
    return volume.partition(":")[0] == storage.storage


def _volume_row(host: Host, storage: Personality, name: str) -> dict[str, Any]:
    _owner(host, storage, name)
    volume = f"{storage.storage}:{name}"
    for row in host.volumes.rows():
        if row["volid"] == volume:
            return row
    raise Failure(f"volume '{volume}' does not exist")


def _image(host: Host, storage: Personality, row: dict[str, Any]) -> dict[str, Any]:
    disk = host.guests.disk(row["vmid"])
    made = row["ctime"] or (int(disk.stat().st_ctime) if disk.exists() else 0)
    image = row | {"content": "images", "format": storage.format_of(row["volid"]), "ctime": made}
    parents = row["volid"].partition(":")[2].split("/")[:-2] if storage.path else []
    parent = {"parent": f"../{'/'.join(parents)}" if parents else None, "used": _used(host, row)}
    return image | (parent if storage.path else {})


def _used(host: Host, row: dict[str, Any]) -> int:
    """Bytes in use of a VM's first disk; the others have no content."""
    config = host.configs.view(row["vmid"]) if row["vmid"] in host.configs else None
    first = drives.first(config.values) if config else None
    if first is None or first.volume != row["volid"] or not host.disks.exists(row["vmid"]):
        return 0
    return host.disks.used_lately(row["vmid"])


def _is_backup(storage: Personality, name: str) -> bool:
    return bool(storage.path) and archives.is_name(name)


def _archive(host: Host, storage: Personality, name: str) -> Path:
    return archives.find(host.dump(storage.storage), f"{storage.storage}:{name}")


def _backup(host: Host, storage: Personality, name: str) -> dict[str, Any]:
    path = _archive(host, storage, name)
    size, protected = path.stat().st_size, int(archives.protected(path))
    described = {"path": f"{storage.path}/dump/{path.name}", "format": "raw", "size": size, "used": size}
    return described | {"notes": archives.notes(path), "protected": protected}


def _taken(storage: Personality, volume: str) -> str:
    name = volume.partition(":")[2]
    if storage.path:
        return f"disk image '{storage.filename(name)}' already exists"
    if storage.plugin == "lvmthin":
        return (
            f'lvcreate \'pve/{name}\' error:   Logical Volume "{name}" already exists in volume group "pve"'
        )
    return f"zfs error: cannot create 'rpool/data/{name}': dataset already exists"
