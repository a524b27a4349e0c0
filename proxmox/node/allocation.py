"""Disks that a configuration asks for: a new one (`local-lvm:4`: 4 GiB), one made of an image, one that is there."""

import re
import time
from typing import Protocol

from proxmox.node import drives, files, images
from proxmox.node.configs import Values
from proxmox.node.drives import Drive
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.host import Host

_SIZE = re.compile(r"\d+(?:\.\d+)?")
_CLOUDINIT_BYTES = 4 * 1024**2
IMPORT = "import-from="


class Worker(Protocol):
    """What makes disks: a task, or a request that is answered when it is done."""

    def log(self, line: str) -> None: ...

    def checkpoint(self) -> None: ...

    def check_signals(self) -> None: ...

    def pause(self, seconds: float) -> None: ...


class Request:
    """A worker that keeps no log and cannot be stopped."""

    def log(self, line: str) -> None:
        pass

    def checkpoint(self) -> None:
        pass

    def check_signals(self) -> None:
        pass

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)


def check(host: Host, key: str, value: object) -> None:
    """Refuse at once what Proxmox refuses before the task. Raises `Failure`."""
    if not drives.is_key(key):
        return
    drive = drives.parse(key, str(value))
    storage, _, name = drive.volume.partition(":")
    if not name:
        return
    personality = host.storages.get(storage)
    if _SIZE.fullmatch(name) and not personality.holds("images"):
        raise BadParameters({"storage": f"storage '{storage}' does not support vm images"})
    if not _SIZE.fullmatch(name) and name != "cloudinit" and not host.files.kind(name):
        personality.owner(name)
    if source := _source(drive):
        _check_source(host, key, name, source)


def allocate(host: Host, vmid: int, values: Values, key: str, text: str, task: Worker) -> str:
    """A drive's text as it is stored, its volume made. Raises `Failure`."""
    drive = drives.parse(key, text)
    storage, _, name = drive.volume.partition(":")
    if name == "cloudinit":
        return _cloudinit(host, vmid, drive, storage)
    if not _SIZE.fullmatch(name):
        return _present(host, drive)
    personality = host.storages.get(storage)
    if not personality.holds("images"):
        raise Failure(f"storage '{storage}' does not support content-type 'images'")
    wanted = next((o.removeprefix("format=") for o in drive.options if o.startswith("format=")), "")
    number = host.volumes.unused_number(vmid, {other.volume for other in drives.volumes(values)})
    volume = personality.volume(vmid, number, personality.default_format(wanted))
    host.volumes.made(volume)
    kept = tuple(option for option in drive.options if not option.startswith(("format=", IMPORT)))
    size = drives.size_bytes(f"{name}G")
    made = Drive(key, volume, kept, size)
    if source := _source(drive):
        return str(_imported(host, vmid, made, source, task))
    if personality.path:
        task.log(f"Formatting '{personality.filename(volume.partition(':')[2])}', size={size}")
    task.log(f"{key}: successfully created disk '{made}'")
    return str(made)


def _imported(host: Host, vmid: int, drive: Drive, source: str, task: Worker) -> Drive:
    if host.disks.exists(vmid) and any(host.guests.disk(vmid).iterdir()):
        raise Failure("the embedded node keeps one disk with files for each VM, and this VM has one")
    storage, _, name = source.partition(":")
    if host.files.kind(name):
        images.unpack(files.found(host.files, storage, name), host.guests.disk(vmid), task.checkpoint)
        size = host.options.disk_gib * 1024**3
    else:
        owner = host.storages.of(source).owner(source)
        host.disks.clone(owner, "", vmid, task.checkpoint)
        size = next(row["size"] for row in host.volumes.rows() if row["volid"] == source)
    made = Drive(drive.key, drive.volume, drive.options, max(size, drive.size_bytes))
    task.log(f"{drive.key}: successfully created disk '{made}'")
    return made


def _cloudinit(host: Host, vmid: int, drive: Drive, storage: str) -> str:
    """The drive that cloud-init would read. Guests here are configured by nobody: it stays without effect."""
    personality = host.storages.get(storage)
    name = f"{vmid}/vm-{vmid}-cloudinit.qcow2" if personality.path else f"vm-{vmid}-cloudinit"
    options = tuple(o for o in drive.options if not o.startswith(("format=", "media=")))
    return str(Drive(drive.key, f"{storage}:{name}", (*options, "media=cdrom"), _CLOUDINIT_BYTES))


def _present(host: Host, drive: Drive) -> str:
    """A drive whose volume is there already; without a size it keeps the one it had."""
    storage, _, name = drive.volume.partition(":")
    if not name:
        return str(drive)
    if host.files.kind(name):
        files.found(host.files, storage, name)
        return str(drive)
    rows = {row["volid"]: row["size"] for row in host.volumes.rows()}
    if "media=cdrom" not in drive.options and drive.volume not in rows:
        raise Failure(f"volume '{drive.volume}' does not exist")
    return str(Drive(drive.key, drive.volume, drive.options, drive.size_bytes or rows.get(drive.volume, 0)))


def _source(drive: Drive) -> str:
    return next((option.removeprefix(IMPORT) for option in drive.options if option.startswith(IMPORT)), "")


def _check_source(host: Host, key: str, size: str, source: str) -> None:
    if size != "0":
        raise BadParameters(
            {key: "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>"}
        )
    storage, _, name = source.partition(":")
    if not name:
        raise Failure("Only root can pass arbitrary filesystem paths.")
    personality = host.storages.get(storage)
    kind = host.files.kind(name)
    if kind and kind != "import":
        raise BadParameters({key: f"{source} has wrong type '{kind}' - needs to be 'images' or 'import'"})
    if not kind:
        personality.owner(name)
        if not host.volumes.exists(source):
            raise Failure(f"volume '{source}' does not exist")
