"""What is done to a VM's disks: resize, move to another storage, detach, make a template of them."""

import re
from dataclasses import replace

from proxmox.node import drives
from proxmox.node.api.common import VM, allocating, change, locked, start_task
from proxmox.node.configs import Config
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.host import Host
from proxmox.node.personalities import Personality
from proxmox.node.routes import COUNT, FLAG, VMID, Call, route
from proxmox.node.schema import Parameter
from proxmox.node.tasks import Task

KEYS = tuple(
    [
        f"{bus}{n}"
        for bus, count in (("ide", 4), ("scsi", 31), ("virtio", 16), ("sata", 6))
        for n in range(count)
    ]
    + ["efidisk0", "tpmstate0"]
)
_WITH_UNUSED = (*KEYS, *(f"unused{n}" for n in range(256)))
_DIGEST = Parameter(max_length=40)


@route("POST", VM + "/template", disk=Parameter(enum=KEYS))
def make_template(host: Host, call: Call) -> str:
    vmid = call.vmid
    config = host.configs.view(vmid)
    if config.snapshots:
        raise Failure("unable to create template, because VM contains snapshots")
    if config.values.get("template"):
        raise Failure("you can't convert a template to a template")
    if host.guests.power(vmid) != "stopped":
        raise Failure("you can't convert a VM to template if VM is running")
    config.check_lock()
    return start_task(host, call, "qmtemplate", lambda task: _make_template(host, vmid, task))


def _make_template(host: Host, vmid: int, task: Task) -> None:
    with locked(host, vmid, task):
        config = host.configs.load(vmid)
        config.check_lock()
        if host.disks.exists(vmid):
            host.disks.make_base(vmid, task.checkpoint)
        config.values["template"] = 1
        for drive in drives.disks(config.values):
            base = host.storages.of(drive.volume).base_of(drive.volume)
            config.values[drive.key] = str(replace(drive, volume=base))
        host.configs.save(vmid, config)


@route(
    "PUT",
    VM + "/resize",
    disk=Parameter(optional=False, enum=KEYS),
    size=Parameter(optional=False, pattern=r"\+?\d+(\.\d+)?[KMGT]?"),
    digest=_DIGEST,
    skiplock=FLAG,
)
def resize(host: Host, call: Call) -> str:
    vmid, disk, size = call.vmid, call["disk"], call["size"]
    return start_task(host, call, "resize", lambda task: _resize(host, vmid, disk, size, task))


def _resize(host: Host, vmid: int, disk: str, size: str, task: Task) -> None:
    def edit(config: Config) -> None:
        config.check_lock()
        drive = _drive(config, disk)
        wanted = drives.size_bytes(size.removeprefix("+")) + (drive.size_bytes if size.startswith("+") else 0)
        if wanted < drive.size_bytes:
            raise Failure("shrinking disks is not supported")
        config.values[disk] = str(replace(drive, size_bytes=wanted))
        if host.storages.of(drive.volume).path and host.guests.power(vmid) == "stopped":
            task.log("Image resized.")

    change(host, vmid, task, edit)


@route(
    "POST",
    VM + "/move_disk",
    disk=Parameter(optional=False, enum=_WITH_UNUSED),
    storage=Parameter(format="pve-storage-id"),
    format=Parameter(enum=("raw", "qcow2", "vmdk")),
    delete=FLAG,
    bwlimit=COUNT,
    digest=_DIGEST,
    skiplock=FLAG,
    **{
        "target-vmid": replace(VMID, optional=True),
        "target-disk": Parameter(enum=_WITH_UNUSED),
        "target-digest": _DIGEST,
    },
)
def move_disk(host: Host, call: Call) -> str:
    """To another storage only; the contents stay where they are."""
    vmid, disk = call.vmid, call["disk"]
    if call.get("target-vmid"):
        raise Failure("the embedded node does not move disks between VMs")
    if not call.get("storage"):
        raise BadParameters({"storage": "no storage specified"})
    config = host.configs.view(vmid)
    config.check_lock()
    drive = _drive(config, disk)
    if "media=cdrom" in drive.options:
        raise Failure("you can't move a cdrom")
    target = host.storages.get(call["storage"])
    source = host.storages.of(drive.volume)
    wanted = call.get("format") or source.format_of(drive.volume)
    if source == target and wanted == source.format_of(drive.volume):
        raise Failure("you can't move to the same storage with same format")
    if call.get("delete") and _has_snapshots(config, drive):
        raise Failure("you can't move a disk with snapshots and delete the source")
    if not target.holds("images"):
        raise Failure(f"storage '{target.storage}' does not support content-type 'images'")
    return start_task(host, call, "qmmove", lambda task: _move(host, call, wanted, task))


def _move(host: Host, call: Call, wanted: str, task: Task) -> None:
    vmid, disk, target = call.vmid, call["disk"], host.storages.get(call["storage"])
    tell = task.log if host.release.tells_more else lambda line: None

    def edit(config: Config) -> None:
        drive = _drive(config, disk)
        source = drive.volume.partition(":")[0]
        tell(
            f"copying volume '{drive.volume}' from current storage '{source}' to target storage '{target.storage}'"
        )
        if _has_snapshots(config, drive):
            task.log("moving disk with snapshots, snapshots will not be moved!")
        task.log(f"create full clone of drive {disk} ({drive.volume})")
        with allocating(host, target.storage, task):
            task.checkpoint()
            volume = _free_name(host, target, vmid, wanted)
            host.volumes.made(volume)
        tell(f"allocated target volume '{volume}'")
        config.values[disk] = str(replace(drive, volume=volume))
        if not call.get("delete"):
            tell(f"adding source volume '{drive.volume}' as '{detach(config, drive)}' to config")

    change(host, vmid, task, edit)


def _free_name(host: Host, storage: Personality, vmid: int, wanted: str) -> str:
    taken = {row["volid"] for row in host.volumes.rows()}
    names = (storage.volume(vmid, number, wanted if storage.path else "") for number in range(1000))
    return next(name for name in names if name not in taken)


@route("PUT", VM + "/unlink", idlist=Parameter(optional=False), force=FLAG)
def unlink(host: Host, call: Call) -> None:
    keys = [key for key in re.split(r"[,; ]+", call["idlist"]) if key]
    with host.locks.hold(call.vmid):
        config = host.configs.load(call.vmid)
        config.check_lock()
        for key in keys:
            drop(host, config, key, force=bool(call.get("force")))
        host.configs.save(call.vmid, config)


def drop(host: Host, config: Config, key: str, *, force: bool = False) -> None:
    """Take a disk out of a configuration: one in use becomes unused, an unused one is deleted. Raises `Failure`."""
    if key not in config.values:
        return
    if config.values.get("protection"):
        kind = "unused disk" if key.startswith("unused") else "drive"
        raise Failure(f"can't remove {kind} '{key}' - protection mode enabled")
    drive = drives.parse(key, str(config.values.pop(key)))
    if key.startswith("unused") or (force and drives.is_key(key)):
        host.volumes.free(drive.volume)
    elif "media=cdrom" not in drive.options and ":" in drive.volume:
        detach(config, drive)


def detach(config: Config, drive: drives.Drive) -> str:
    """Keep a volume that no disk uses; the key that it stands under now."""
    free = next(f"unused{n}" for n in range(256) if f"unused{n}" not in config.values)
    config.values[free] = drive.volume
    return free


def _drive(config: Config, disk: str) -> drives.Drive:
    if disk not in config.values:
        raise Failure(f"disk '{disk}' does not exist")
    return drives.parse(disk, str(config.values[disk]))


def _has_snapshots(config: Config, drive: drives.Drive) -> bool:
    return any(
        other.volume == drive.volume for values in config.snapshots.values() for other in drives.disks(values)
    )
