"""Cloning, linked or full, with Proxmox's rules about which storage can do what.

The source's configuration lock is held until the clone is done: shared when it is off, exclusive when it is on.
"""

from dataclasses import replace

from proxmox.node import drives, identity
from proxmox.node.api.common import VM
from proxmox.node.api.config import check_pool
from proxmox.node.api.storage import check_storage
from proxmox.node.api.vms import remove
from proxmox.node.configs import Config, Values
from proxmox.node.errors import Failure
from proxmox.node.host import Host
from proxmox.node.locks import Held
from proxmox.node.routes import COUNT, FLAG, SNAPNAME, TEXT, VMID, Call, route
from proxmox.node.schema import Parameter
from proxmox.node.tasks import Task

LOCK_SECONDS = 1
# Nothing of these goes along: what belongs to the source's life, not to what it is.
_LEFT_BEHIND = (
    *(
        "lock",
        "parent",
        "snaptime",
        "snapstate",
        "vmstate",
        "runningcpu",
        "runningmachine",
        "template",
        "digest",
    ),
    "protection",
)


@route(
    "POST",
    VM + "/clone",
    newid=VMID,
    name=Parameter(format="dns-name"),
    description=TEXT,
    pool=Parameter(format="pve-poolid"),
    snapname=SNAPNAME,
    full=FLAG,
    storage=Parameter(format="pve-storage-id"),
    format=Parameter(enum=("raw", "qcow2", "vmdk")),
    target=TEXT,
    bwlimit=COUNT,
)
def clone(host: Host, call: Call) -> str:
    source, target = call.vmid, call["newid"]
    _check_request(host, call)
    seconds = min(LOCK_SECONDS, host.options.lock_seconds)
    held = host.locks.hold(source, shared=host.guests.power(source) == "stopped", seconds=seconds)
    try:
        values, full = _planned(host, call)
        temporary = Config({"lock": "clone", "description": " qmclone temporary file"})
        if not host.configs.create(target, temporary):
            raise Failure(f"unable to create VM {target}: config file already exists")
    except BaseException:
        held.release()
        raise
    return host.tasks.start(
        "qmclone", source, call.user, lambda task: _work(host, call, values, full, held, task)
    )


def _check_request(host: Host, call: Call) -> None:
    if call.get("target", host.name) != host.name:
        raise Failure(f"no such cluster node '{call['target']}'")
    check_pool(host, call.get("pool", ""))
    if storage := call.get("storage"):
        check_storage(host, storage)
    if call.vmid not in host.configs:
        raise Failure(f"unable to find configuration file for VM {call.vmid} on node '{host.name}'")


def _planned(host: Host, call: Call) -> tuple[Values, bool]:
    """The clone's configuration without its disks, and whether it is a full clone. Raises `Failure`."""
    config, snapname = host.configs.view(call.vmid), call.get("snapname", "")
    config.check_lock()
    values = config.snapshot(snapname) if snapname else config.values
    template = bool(config.values.get("template"))
    full = bool(call.get("full", not template))
    for parameter in ("storage", "format"):
        if not full and parameter in call.parameters:
            raise Failure(f"parameter '{parameter}' not allowed for linked clones")
    for drive in drives.disks(values):
        _check_drive(host, drive, snapname, template, full)
    kept = {key: value for key, value in values.items() if not key.startswith("unused")}
    planned = {key: value for key, value in kept.items() if key not in _LEFT_BEHIND}
    source_name = planned.get("name", f"VM{call.vmid}")
    identity.renew(planned)
    planned["name"] = call.get("name") or f"Copy-of-VM-{source_name}"
    if "description" in call.parameters:
        planned["description"] = call["description"]
    elif snapname:
        planned.pop("description", None)  # that one describes the snapshot
    return planned, full


def _check_drive(host: Host, drive: drives.Drive, snapname: str, template: bool, full: bool) -> None:
    storage = host.personality
    of = f"a snapshot of '{drive.volume}' ({drive.key})" if snapname else f"'{drive.volume}' ({drive.key})"
    if full and snapname and not storage.copies_snapshots:
        raise Failure(f"Full clone feature is not supported for {of}")
    if not full and not (storage.links_snapshots if snapname else template):
        raise Failure(f"Linked clone feature is not supported for {of}")


def _work(host: Host, call: Call, values: Values, full: bool, held: Held, task: Task) -> None:
    target = call["newid"]
    with held:
        try:
            _copy(host, call, values, full, task)
            if pool := call.get("pool"):
                host.pools.add(pool, target)
        except Exception as error:
            remove(host, target)
            text = error.text if isinstance(error, Failure) else f"{type(error).__name__}: {error}"
            raise Failure(f"clone failed: {text}") from error
        host.configs.save(target, Config(values))


def _copy(host: Host, call: Call, values: Values, full: bool, task: Task) -> None:
    target = call["newid"]
    for number, drive in enumerate(drives.disks(values)):
        task.log(f"create {'full' if full else 'linked'} clone of drive {drive.key} ({drive.volume})")
        storage = host.personality
        linked = not full and not call.get("snapname")
        volume = (
            storage.linked_volume(target, drive.volume, number) if linked else storage.volume(target, number)
        )
        values[drive.key] = str(replace(drive, volume=volume))
    task.checkpoint()
    host.disks.clone(call.vmid, call.get("snapname", ""), target, task.checkpoint)
