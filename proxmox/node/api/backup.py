"""Backups: vzdump of the disk as it is now, and restoring one to a new VM or over an old one."""

import time
from dataclasses import replace
from pathlib import Path

from proxmox.node import archives, drives, identity
from proxmox.node.api.common import change, locked, set_lock
from proxmox.node.api.storage import BACKUPS
from proxmox.node.configs import Config, Values
from proxmox.node.errors import BadParameters, Failure, Interrupted
from proxmox.node.host import Host
from proxmox.node.routes import COUNT, FLAG, TEXT, Call, route
from proxmox.node.schema import Parameter
from proxmox.node.tasks import Task

# Of POST /nodes/{node}/qemu, when it restores.
RESTORE = {
    "archive": Parameter(max_length=255),
    "force": Parameter("boolean", requires="archive"),
    "unique": Parameter("boolean", requires="archive"),
    "live-restore": Parameter("boolean", requires="archive"),
    "bwlimit": COUNT,
    "import-working-storage": TEXT,
}
_VZDUMP = {
    "vmid": Parameter(format="pve-vmid-list"),
    "storage": Parameter(format="pve-storage-id"),
    "mode": Parameter(enum=("snapshot", "suspend", "stop")),
    "compress": Parameter(enum=("0", "1", "gzip", "lzo", "zstd")),
    "notes-template": Parameter(max_length=1024, requires="storage"),
    "protected": Parameter("boolean", requires="storage"),
    "remove": FLAG,
    "prune-backups": TEXT,
    "bwlimit": COUNT,
    "ionice": COUNT,
    "lockwait": COUNT,
    "quiet": FLAG,
    "zstd": COUNT,
}


@route("POST", "/nodes/{node}/vzdump", **_VZDUMP)
def vzdump(host: Host, call: Call) -> str:
    if not call.get("vmid"):
        raise BadParameters({"vmid": "property is missing"})
    vmids = [int(vmid) for vmid in str(call["vmid"]).replace(";", ",").replace(" ", ",").split(",") if vmid]
    subject = str(vmids[0]) if len(vmids) == 1 else ""
    return host.tasks.start("vzdump", subject, call.user, lambda task: _back_up_all(host, call, vmids, task))


@route("GET", "/nodes/{node}/vzdump/extractconfig", volume=Parameter(optional=False))
def extract_config(host: Host, call: Call) -> str:
    path = archives.find(host.dump, call["volume"].partition(":")[2])
    return "".join(f"{key}: {value}\n" for key, value in sorted(archives.values_in(path).items()))


def _back_up_all(host: Host, call: Call, vmids: list[int], task: Task) -> None:
    sent = " ".join(f"--{name} {value}" for name, value in call.sent().items())
    task.log(f"INFO: starting new backup job: vzdump {' '.join(map(str, vmids))} {sent} --node {host.name}")
    if (storage := call.get("storage", BACKUPS)) != BACKUPS:
        raise Failure(
            f"could not get storage information for '{storage}': storage '{storage}' does not exist"
        )
    failed = [vmid for vmid in vmids if not _back_up_or_log(host, call, vmid, task)]
    task.log(f"INFO: Backup job finished {'with errors' if failed else 'successfully'}")
    if failed:
        raise Failure("job errors")


def _back_up_or_log(host: Host, call: Call, vmid: int, task: Task) -> bool:
    try:
        if vmid not in host.configs:
            raise Failure(f"unable to find VM '{vmid}'")
        _back_up(host, call, vmid, task)
    except Interrupted:
        raise
    except Failure as failure:
        task.log(f"ERROR: Backup of VM {vmid} failed - {failure.text}")
        return False
    return True


def _back_up(host: Host, call: Call, vmid: int, task: Task) -> None:
    task.log(f"INFO: Starting Backup of VM {vmid} (qemu)")
    config = set_lock(host, vmid, task, "backup")
    try:
        _write(host, call, vmid, config, task)
    except Exception:
        change(host, vmid, task, _unlock)
        raise
    change(host, vmid, task, _unlock)
    task.log(f"INFO: Finished Backup of VM {vmid}")


def _write(host: Host, call: Call, vmid: int, config: Config, task: Task) -> None:
    path = _unused_path(host, vmid)
    task.log(f"INFO: creating vzdump archive '{path}'")
    values = {key: value for key, value in config.values.items() if key not in {"lock", "parent"}}
    with host.disks.contents(vmid, task.checkpoint) as entries:
        archives.write(path, values, entries, host.store, task.checkpoint)
    archives.protect(path, bool(call.get("protected")))
    if template := call.get("notes-template"):
        archives.set_notes(path, _notes(host, template, vmid, values))


def _unlock(config: Config) -> None:
    config.values.pop("lock", None)


def _unused_path(host: Host, vmid: int) -> Path:
    """Names have a resolution of a second."""
    at = time.time()
    while (path := archives.new_path(host.dump, vmid, at)).exists():
        at += 1
    return path


def _notes(host: Host, template: str, vmid: int, values: Values) -> str:
    known = {"guestname": values.get("name", ""), "node": host.name, "vmid": vmid, "cluster": host.name}
    for name, value in known.items():
        template = template.replace("{{" + name + "}}", str(value))
    return template.replace("\\n", "\n").replace("\\\\", "\\")


def restore(host: Host, call: Call) -> str:
    """`POST qemu` with `archive`."""
    vmid, volume = call.vmid, str(call["archive"])
    if call.get("live-restore"):
        raise Failure("live-restore is only compatible with backup images from a Proxmox Backup Server")
    storage, _, name = volume.partition(":")
    if storage != BACKUPS:
        raise Failure(f"storage '{storage}' does not exist")
    if not archives.is_name(name):
        raise Failure(f"unable to parse directory volume name '{name}'")
    path = archives.find(host.dump, name)
    force = bool(call.get("force"))
    if not (host.configs.create(vmid, Config({"lock": "create"})) or force):
        raise Failure(f"unable to restore VM {vmid} - VM {vmid} already exists on node '{host.name}'")
    return host.tasks.start("qmrestore", vmid, call.user, lambda task: _restore(host, call, path, task))


def _restore(host: Host, call: Call, path: Path, task: Task) -> None:
    vmid = call.vmid
    with locked(host, vmid, task), host.store.session() as held:
        if host.guests.power(vmid) != "stopped":
            raise Failure(f"unable to restore VM {vmid} - vm is running")
        try:
            values = _restored(host, call, path)
            entries = archives.read(path, host.store, held, task.checkpoint)
        except Failure:
            _give_up(host, vmid)
            raise
        pool = call.get("pool") or host.pools.of(vmid)
        host.configs.save(vmid, Config({"lock": "create"}))
        host.disks.destroy(vmid)
        host.disks.fill(vmid, entries, task.checkpoint)
        if pool:
            host.pools.add(pool, vmid)
        host.configs.save(vmid, Config(values))
        host.garbage.expect()


def _give_up(host: Host, vmid: int) -> None:
    """A VM that was to be overwritten is as it was; a new one is left without a disk, for somebody to remove."""
    config = host.configs.load(vmid)
    if config.values == {"lock": "create"}:
        host.configs.save(vmid, Config())


def _restored(host: Host, call: Call, path: Path) -> Values:
    values = archives.values_in(path)
    if call.get("unique"):
        identity.renew(values)
    for number, drive in enumerate(drives.disks(values)):
        values[drive.key] = str(replace(drive, volume=host.personality.volume(call.vmid, number)))
    options = call.sent("archive", "force", "unique", "pool", "storage", "start", "bwlimit", "live-restore")
    conflict = next((key for key in options if drives.is_key(key)), None)
    if conflict:
        raise Failure(f"option '{conflict}' conflicts with option 'archive'")
    return {key: value for key, value in values.items() if key != "template"} | options
