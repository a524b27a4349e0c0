"""Cloning, linked or full, with Proxmox's rules about which storage can do what (qemu-server: API2/Qemu.pm).

What can be refused is refused at once, and looked at again in the task. There the source's file lock is held until
the clone is done: shared when the source is off, exclusive when it is on; and the target's, exclusively.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

from proxmox.node import drives, identity
from proxmox.node.api.common import VM, allocating, locked
from proxmox.node.api.config import check_pool
from proxmox.node.api.vms import agent_answers, remove
from proxmox.node.configs import Config, Values
from proxmox.node.drives import Drive
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.host import Host
from proxmox.node.personalities import Personality
from proxmox.node.routes import COUNT, FLAG, SNAPNAME, TEXT, VMID, Call, route
from proxmox.node.schema import Parameter
from proxmox.node.tasks import Task

LOCK_SECONDS = 1
# What belongs to the source's life, not to what it is.
_LEFT_BEHIND = frozenset(
    (
        *("lock", "parent", "snaptime", "snapstate", "vmstate", "template"),
        *("runningcpu", "runningmachine", "running-nets-host-mtu"),
    )
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a clone is going to be."""

    values: Values  # its configuration, drives still the source's
    full: bool


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
    if call.vmid not in host.configs:
        raise Failure(f"unable to find configuration file for VM {call.vmid} on node '{host.name}'")
    running = _is_running(host, call.vmid)
    _plan(host, call, running)
    return host.tasks.start("qmclone", call.vmid, call.user, lambda task: _work(host, call, running, task))


def _is_running(host: Host, vmid: int) -> bool:
    return host.guests.power(vmid) != "stopped"


def _plan(host: Host, call: Call, running: bool) -> Plan:
    """Raises `Failure` for what cannot be cloned, or not so."""
    check_pool(host, call.get("pool", ""))
    if call.get("target", host.name) not in {host.name, "localhost"}:
        raise Failure(f"no such cluster node '{call['target']}'")
    _check_storage(host, call.get("storage", ""))
    config, snapname = host.configs.view(call.vmid), call.get("snapname", "")
    config.check_lock()
    if _is_running(host, call.vmid) != running:
        raise Failure("unexpected state change")
    values = config.snapshot(snapname) if snapname else config.values
    full = bool(call.get("full", not config.values.get("template")))
    for parameter in ("storage", "format"):
        if not full and parameter in call.parameters:
            raise Failure(f"parameter '{parameter}' not allowed for linked clones")
    for drive in drives.disks(values):
        _check_drive(host.storages.of(drive.volume), drive, snapname, config, full)
    if call["newid"] in host.configs:
        raise Failure(f"unable to create VM {call['newid']}: config file already exists")
    return Plan(_renewed(call, values), full)


def _check_storage(host: Host, storage: str) -> None:
    if storage and not host.storages.get(storage).holds("images"):
        raise BadParameters({"storage": f"storage '{storage}' does not support vm images"})


def _check_drive(storage: Personality, drive: Drive, snapname: str, config: Config, full: bool) -> None:
    of = f"a snapshot of '{drive.volume}' ({drive.key})" if snapname else f"'{drive.volume}' ({drive.key})"
    copies = storage.copies_snapshots and storage.keeps_snapshots(drive.volume)
    if full and snapname and not copies:
        raise Failure(f"Full clone feature is not supported for {of}")
    if not full and not (storage.links_snapshots if snapname else config.values.get("template")):
        raise Failure(f"Linked clone feature is not supported for {of}")


def _renewed(call: Call, values: Values) -> Values:
    """The source's configuration with a name and an identity of its own."""
    planned = {
        key: value
        for key, value in values.items()
        if key not in _LEFT_BEHIND and not key.startswith("unused")
    }
    identity.renew(planned)
    planned["name"] = call.get("name") or f"Copy-of-VM-{values.get('name', call.vmid)}"
    if call.get("description"):
        planned["description"] = call["description"]
    return planned


@contextmanager
def _both_locked(host: Host, call: Call, running: bool, task: Task) -> Iterator[None]:
    seconds = min(LOCK_SECONDS, host.options.lock_seconds)
    with (
        host.locks.hold(call.vmid, shared=not running, seconds=seconds, waiter=task),
        locked(host, call["newid"], task, seconds=seconds),
    ):
        yield


def _work(host: Host, call: Call, running: bool, task: Task) -> None:
    task.interruption = "interrupted by signal"
    target = call["newid"]
    with _both_locked(host, call, running, task):
        plan = _plan(host, call, running)
        if host.release.name != "8.4":
            task.log(f"creating a clone of VM {call.vmid} with ID {target}")
        temporary = Config({"lock": "clone", "description": " qmclone temporary file"})
        if not host.configs.create(target, temporary):
            raise Failure(f"unable to create VM {target}: config file already exists")
        try:
            _make(host, call, plan, running, task)
        except Exception as error:
            remove(host, target)
            text = error.text if isinstance(error, Failure) else f"{type(error).__name__}: {error}"
            raise Failure(f"clone failed: {text}") from error


def _make(host: Host, call: Call, plan: Plan, running: bool, task: Task) -> None:
    """Everything that is undone when it fails, joining the pool last."""
    target, disks = call["newid"], drives.disks(plan.values)
    host.firewall.copy(call.vmid, target)
    task.checkpoint()
    values = {key: value for key, value in plan.values.items() if key not in {disk.key for disk in disks}}
    for drive in disks:
        volume = _copied(host, call, drive, task) if plan.full else _linked(host, call, drive, task)
        values[drive.key] = str(replace(drive, volume=volume))
        if running and not call.get("snapname"):
            task.log(f"drive mirror is starting for drive-{drive.key}")
        host.configs.save(target, Config(values | {"lock": "clone"}))
    with _files_still(host, call.vmid, task) if running and not call.get("snapname") else nullcontext():
        host.disks.clone(call.vmid, call.get("snapname", ""), target, task.checkpoint)
    host.configs.save(target, Config(values))
    if pool := call.get("pool"):
        host.pools.add(pool, target)


@contextmanager
def _files_still(host: Host, vmid: int, task: Task) -> Iterator[None]:
    """What is done to a running guest while its disks are copied: by its agent, or by freezing all of it."""
    before, after = host.release.freezing if agent_answers(host, vmid) else ("suspend vm", "resume vm")
    task.log(before)
    try:
        yield
    finally:
        task.log(after)


def _copied(host: Host, call: Call, drive: Drive, task: Task) -> str:
    """Allocate the copy of a disk; its volume id."""
    task.log(f"create full clone of drive {drive.key} ({drive.volume})")
    _check_exists(host, drive)
    source = host.storages.of(drive.volume)
    storage = host.storages.get(call["storage"]) if call.get("storage") else source
    image_format = call.get("format") or source.format_of(drive.volume)
    with allocating(host, storage.storage, task):
        volume = storage.volume(call["newid"], _number(host, call["newid"]), image_format)
    if host.release.name != "8.4":
        task.log(f"allocated target volume '{volume}'")
    size = _readable(drive.size_bytes)
    for done, percent in (("0.0 B", "0.00"), (size, "100.00")):
        task.log(f"transferred {done} of {size} ({percent}%)")
    return volume


def _linked(host: Host, call: Call, drive: Drive, task: Task) -> str:
    """Allocate a disk that builds on another; its volume id."""
    target = call["newid"]
    task.log(f"create linked clone of drive {drive.key} ({drive.volume})")
    _check_exists(host, drive)
    storage = host.storages.of(drive.volume)
    with allocating(host, storage.storage, task):
        number = _number(host, target)
        if call.get("snapname"):
            return storage.volume(target, number)
        volume = storage.linked_volume(target, drive.volume, number)
        if storage.path:
            _log_link(task, target, drive, volume)
        return volume


def _log_link(task: Task, target: int, drive: Drive, volume: str) -> None:
    base, name = drive.volume.partition(":")[2], volume.rpartition("/")[2]
    task.log(f"clone {base}: images, {name}, {target} to {name} (base=../{base})")


def _check_exists(host: Host, drive: Drive) -> None:
    if not host.volumes.exists(drive.volume):
        raise Failure(f"volume '{drive.volume}' does not exist")


def _number(host: Host, target: int) -> int:
    return host.volumes.unused_number(target, set())


def _readable(size: int) -> str:
    """As PVE::Tools::render_bytes has it: `2.0 GiB`."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    power = min(max(size.bit_length() - 1, 0) // 10, len(units) - 1)
    return f"{size / 1024**power:.1f} {units[power]}"
