"""Restoring a backup to a new VM or over an old one, and the configuration in one (qemu-server: API2/Qemu.pm).

As in Proxmox, a restore that fails leaves a half-made VM behind, unlocked, for somebody to remove.
"""

import os
import time
from dataclasses import replace
from pathlib import Path

from proxmox.node import archives, drives, identity
from proxmox.node.api.common import allocating, locked
from proxmox.node.api.power import begin
from proxmox.node.archives import Backup
from proxmox.node.configs import Config, Values
from proxmox.node.drives import Drive
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.host import Host
from proxmox.node.personalities import Personality
from proxmox.node.routes import COUNT, TEXT, Call, route
from proxmox.node.schema import Parameter
from proxmox.node.tasks import Task

LOCK_SECONDS = 5
# Of POST /nodes/{node}/qemu, when it restores.
RESTORE = {
    "archive": Parameter(max_length=255),
    "force": Parameter("boolean", requires="archive"),
    "unique": Parameter("boolean", requires="archive"),
    "live-restore": Parameter("boolean"),
    "bwlimit": COUNT,
    "import-working-storage": TEXT,
}
_NOT_OPTIONS = ("archive", "force", "unique", "pool", "storage", "start", "bwlimit", "live-restore")


@route("GET", "/nodes/{node}/vzdump/extractconfig", volume=Parameter(optional=False))
def extract_config(host: Host, call: Call) -> str:
    return _text(archives.values_in(_archive(host, call["volume"])))


def _text(values: Values) -> str:
    """A configuration as the file would have it, with where its disks came from."""
    lines = [f"#{line}" for line in str(values.get("description", "")).splitlines()]
    lines += [f"{key}: {value}" for key, value in sorted(values.items()) if key != "description"]
    for drive in drives.disks(values):
        storage, _, name = drive.volume.partition(":")
        lines.append(f"#qmdump#map:{drive.key}:drive-{drive.key}:{storage}:{_format(name)}:")
    return "".join(f"{line}\n" for line in lines)


def _archive(host: Host, volume: str) -> Path:
    """The file of a backup. Raises `Failure`."""
    storage, name = host.storages.of(volume), volume.partition(":")[2]
    if not storage.path or not archives.is_like_one(name):
        raise storage.unreadable(name)
    return archives.find(host.dump(storage.storage), volume)


def restore(host: Host, call: Call) -> str:
    """`POST qemu` with `archive`."""
    vmid = call.vmid
    for name in call.sent(*_NOT_OPTIONS):
        if drives.is_key(name):
            raise BadParameters({name: "option conflicts with option 'archive'"})
    if call.get("live-restore"):
        raise Failure("live-restore is only compatible with backup images from a Proxmox Backup Server")
    if call.get("storage"):
        host.storages.get(call["storage"])
    path = _archive(host, str(call["archive"]))
    old = _create_and_lock(host, vmid, force=bool(call.get("force")))
    return host.tasks.start("qmrestore", vmid, call.user, lambda task: _run(host, call, path, old, task))


def _create_and_lock(host: Host, vmid: int, *, force: bool) -> Config | None:
    """Take the VMID with the lock `create`; the configuration that was there. Raises `Failure`."""
    refused = f"unable to restore VM {vmid} - "
    if host.configs.create(vmid, Config({"lock": "create"})):
        return None
    if not force:
        raise Failure(f"{refused}VM {vmid} already exists on node '{host.name}'")
    with host.locks.hold(vmid, seconds=min(LOCK_SECONDS, host.options.lock_seconds)):
        old = host.configs.load(vmid)
        if lock := old.values.get("lock"):
            raise Failure(f"{refused}VM is locked ({lock})")
        host.configs.save(vmid, replace(old, values=old.values | {"lock": "create"}))
        return old


def _run(host: Host, call: Call, path: Path, old: Config | None, task: Task) -> None:
    try:
        with locked(host, call.vmid, task), host.store.session() as held:
            _restore(host, call, path, held, old, task)
    except Exception:
        _give_up(host, call.vmid)
        task.log(
            "error before or during data restore, some or all disks were not completely restored."
            f" VM {call.vmid} state is NOT cleaned up."
        )
        raise
    if call.get("start"):
        task.log("Execute autostart")
        begin(host, call.vmid, call.user)  # a task of its own: that it fails is no failure of the restore


def _give_up(host: Host, vmid: int) -> None:
    """A VM that was to be overwritten is as it was; a new one is left without a disk."""
    config = host.configs.load(vmid)
    config.values.pop("lock", None)
    host.configs.save(vmid, config)


def _restore(host: Host, call: Call, path: Path, held: set[str], old: Config | None, task: Task) -> None:
    vmid = call.vmid
    if host.guests.power(vmid) != "stopped":
        raise Failure(f"unable to restore VM {vmid} - vm is running")
    if old and old.values.get("protection"):
        raise Failure(f"unable to restore VM {vmid} - protection mode enabled")
    _log_source(host.storages.of(str(call["archive"])), path, task)
    task.checkpoint()
    backup = archives.read(path, host.store, held, task.checkpoint)
    values = _restored(host, call, backup, task)
    pool = call.get("pool") or host.pools.of(vmid)
    host.disks.replace(vmid, backup.entries, task.checkpoint)
    task.log("rescan volumes...")
    if backup.firewall:
        host.firewall.restore(vmid, backup.firewall)
    if values.get("template"):
        task.log("Convert to template.")
        host.disks.make_base(vmid, task.checkpoint)
    if pool:
        host.pools.add(pool, vmid)
    host.configs.save(vmid, Config(values))
    host.garbage.expect()


def _log_source(storage: Personality, path: Path, task: Task) -> None:
    archive, at = f"{storage.path}/dump/{path.name}", f"/var/tmp/vzdumptmp{task.upid.pid}"
    unpack = {".zst": f"zstd -q -d -c {archive}", ".gz": f"zcat {archive}"}.get(path.suffix, f"cat {archive}")
    task.log(f"restore vma archive: {unpack} | vma extract -v -r {at}.fifo - {at}")
    values = archives.values_in(path)
    task.log(f"CFG: size: {len(_text(values))} name: qemu-server.conf")
    for number, drive in enumerate(drives.disks(values), 1):
        task.log(f"DEV: dev_id={number} size: {drive.size_bytes} devname: drive-{drive.key}")
    task.log(f"CTIME: {time.ctime(os.stat(path).st_mtime)}")


def _restored(host: Host, call: Call, backup: Backup, task: Task) -> Values:
    """The configuration of a backup as it is going to be here."""
    values = dict(backup.values)
    if call.get("unique"):
        identity.renew(values)
    elif "vmgenid" in values:
        values["vmgenid"] = identity.new_uuid()
    taken: set[str] = set()
    for drive in drives.disks(values):
        volume = _allocated(host, call, drive, bool(values.get("template")), taken, task)
        taken.add(volume)
        values[drive.key] = str(replace(drive, volume=volume))
    kept = {key: value for key, value in values.items() if not key.startswith("unused")}
    return kept | call.sent(*_NOT_OPTIONS)


def _allocated(host: Host, call: Call, drive: Drive, template: bool, taken: set[str], task: Task) -> str:
    """A volume for a disk, where it came from unless `storage` says otherwise."""
    storage = _target(host, call, drive)
    with allocating(host, storage.storage, task):
        volume = _volume(call.vmid, storage, _format(drive.volume), taken)
    task.log(f"new volume ID is '{volume}'")
    return storage.base_of(volume) if template else volume


def _volume(vmid: int, storage: Personality, image_format: str, taken: set[str]) -> str:
    """The first volume id that is free. The disks of a VM that is overwritten go, and so do their names."""
    number = 0
    while (volume := storage.volume(vmid, number, image_format)) in taken:
        number += 1
    return volume


def _target(host: Host, call: Call, drive: Drive) -> Personality:
    name = call.get("storage") or drive.volume.partition(":")[0]
    storage = host.storages.get(name)
    if not storage.holds("images"):
        raise Failure(f"Content type 'images' is not available on storage '{name}'")
    return storage


def _format(volume: str) -> str:
    """The format that a disk had, as its name tells; raw where names do not tell."""
    suffix = volume.rpartition(".")[2]
    return suffix if suffix in {"raw", "qcow2", "vmdk"} else "raw"
