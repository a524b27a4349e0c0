"""Snapshots: a tree with parent pointers and the pseudo entry `current`; take, delete, roll back, describe.

As in Proxmox, an operation locks the VM's configuration in one step, works, and unlocks it in another: a worker
that is killed in between leaves the lock and the snapshot's `snapstate` behind.
"""

import time
from typing import Any

from proxmox.node import drives
from proxmox.node.api.common import VM, change, locked, set_lock, start_task
from proxmox.node.api.power import NO_MEMORY_IMAGE, power_on
from proxmox.node.configs import Config, Values
from proxmox.node.errors import Damaged, Failure
from proxmox.node.host import Host
from proxmox.node.identity import new_uuid
from proxmox.node.personalities import Personality
from proxmox.node.routes import FLAG, SNAPNAME, TEXT, Call, route
from proxmox.node.schema import Parameter
from proxmox.node.tasks import Task

RESERVED = ("current", "pending")
# What a snapshot's configuration has of its own; the rest is the VM's configuration at the time.
_OWN = ("snaptime", "snapstate", "description", "parent", "vmstate")
_NEVER_KEPT = ("lock", "template", "digest")

_NEW = {"snapname": Parameter(optional=False, format="pve-configid", max_length=40)}


@route("GET", VM + "/snapshot")
def snapshots(host: Host, call: Call) -> list[dict[str, Any]]:
    config = host.configs.view(call.vmid)
    rows = [_row(name, values) for name, values in config.snapshots.items()]
    running = int(host.guests.power(call.vmid) != "stopped")
    current = {"name": "current", "description": "You are here!", "digest": config.digest, "running": running}
    return [*rows, current | _only(config.values, "parent")]


@route("GET", VM + "/snapshot/{snapname}")
def index(host: Host, call: Call) -> list[dict[str, str]]:
    return [{"cmd": "rollback"}, {"cmd": "config"}]


@route("GET", VM + "/snapshot/{snapname}/config")
def config_of(host: Host, call: Call) -> Values:
    return host.configs.view(call.vmid).snapshot(call["snapname"])


@route("PUT", VM + "/snapshot/{snapname}/config", description=TEXT)
def describe(host: Host, call: Call) -> None:
    with host.locks.hold(call.vmid):
        config = host.configs.load(call.vmid)
        config.check_lock()
        config.snapshot(call["snapname"])["description"] = call.get("description", "")
        host.configs.save(call.vmid, config)


@route(
    "GET",
    VM + "/feature",
    feature=Parameter(optional=False, enum=("snapshot", "clone", "copy")),
    snapname=SNAPNAME,
)
def feature(host: Host, call: Call) -> dict[str, Any]:
    config, snapname = host.configs.view(call.vmid), call.get("snapname", "")
    if snapname:
        config.snapshot(snapname)
    return {"hasFeature": int(supports(host, config, call["feature"], snapname)), "nodes": [host.name]}


def supports(host: Host, config: Config, feature: str, snapname: str) -> bool:
    """What the storages of a VM can do with its disks, as they are or as they were at a snapshot."""
    template = bool(config.values.get("template"))
    disks = drives.disks(config.snapshot(snapname) if snapname else config.values)
    return all(
        _can(host.storages.of(drive.volume), drive.volume, feature, snapname, template) for drive in disks
    )


def _can(storage: Personality, volume: str, feature: str, snapname: str, template: bool) -> bool:
    if feature == "snapshot":
        return storage.keeps_snapshots(volume)
    if feature == "clone":
        return storage.links_snapshots if snapname else template
    return storage.copies_snapshots if snapname else True


@route("POST", VM + "/snapshot", **_NEW, description=TEXT, vmstate=FLAG)
def take(host: Host, call: Call) -> str:
    vmid, name = call.vmid, call["snapname"]
    host.configs.view(vmid)
    if name in RESERVED:
        raise Failure(f"unable to use snapshot name '{name}' (reserved name)")
    memory, description = bool(call.get("vmstate")), call.get("description", "")
    return start_task(
        host, call, "qmsnapshot", lambda task: _take(host, vmid, name, description, memory, task)
    )


def _take(host: Host, vmid: int, name: str, description: str, memory: bool, task: Task) -> None:
    def prepare(config: Config) -> None:
        if config.values.get("template"):
            raise Failure("you can't take a snapshot if it's a template")
        if name in config.snapshots:
            raise Failure(f"snapshot name '{name}' already used")
        if not supports(host, config, "snapshot", ""):
            raise Failure("snapshot feature is not available")
        if memory and host.guests.power(vmid) != "stopped":
            raise Failure(NO_MEMORY_IMAGE)
        config.snapshots[name] = _kept(config.values, description) | {"snapstate": "prepare"}

    config = set_lock(host, vmid, task, "snapshot", prepare)
    try:
        task.checkpoint()
        for drive in drives.disks(config.values):
            task.log(f"snapshotting 'drive-{drive.key}' ({drive.volume})")
            _tell_how(host, vmid, drive.volume, task)
        host.disks.snapshot(vmid, name, task.checkpoint)
    except Exception:
        task.log("snapshot create failed: starting cleanup")
        host.disks.drop_snapshot(vmid, name)
        change(host, vmid, task, lambda config: _forget(config, name))
        raise
    change(host, vmid, task, lambda config: _commit(config, name))


def _tell_how(host: Host, vmid: int, volume: str, task: Task) -> None:
    storage = host.storages.of(volume)
    if host.release.tells_more and storage.path and host.guests.power(vmid) != "stopped":
        task.log(f"{'external' if storage.chain else 'internal'} qemu snapshot")


@route("DELETE", VM + "/snapshot/{snapname}", force=FLAG)
def delete(host: Host, call: Call) -> str:
    vmid, name = call.vmid, call["snapname"]
    host.configs.view(vmid)
    return start_task(host, call, "qmdelsnapshot", lambda task: _delete(host, vmid, name, task))


def _delete(host: Host, vmid: int, name: str, task: Task) -> None:
    def prepare(config: Config) -> None:
        if config.values.get("template"):
            raise Failure("you can't delete a snapshot if vm is a template")
        config.snapshot(name)["snapstate"] = "delete"

    set_lock(host, vmid, task, "snapshot-delete", prepare)
    task.checkpoint()
    host.disks.drop_snapshot(vmid, name)
    change(host, vmid, task, lambda config: _forget(config, name))
    host.garbage.expect()


@route("POST", VM + "/snapshot/{snapname}/rollback", start=FLAG)
def rollback(host: Host, call: Call) -> str:
    vmid, name, start = call.vmid, call["snapname"], bool(call.get("start"))
    host.configs.view(vmid)
    return start_task(host, call, "qmrollback", lambda task: _rollback(host, vmid, name, start, task))


def _rollback(host: Host, vmid: int, name: str, start: bool, task: Task) -> None:
    def prepare(config: Config) -> None:
        if config.values.get("template"):
            raise Failure("can't rollback if vm is a template")
        if state := config.snapshot(name).get("snapstate"):
            raise Failure(f"unable to rollback to incomplete snapshot (snapstate = {state})")
        _check_newest(host, config, name)

    set_lock(host, vmid, task, "rollback", prepare)
    # From here on a failure leaves the lock: the disk may be neither the one nor the other.
    task.checkpoint()
    host.guests.stop(vmid)
    try:
        host.disks.rollback(vmid, name, task.checkpoint)
    except Damaged:  # but for this one, which is found before anything is touched
        change(host, vmid, task, _unlock)
        raise
    with locked(host, vmid, task):
        config = host.configs.load(vmid)
        config.values = _restored(config, name)
        config.pending = {}
        host.configs.save(vmid, config)
        if start:
            power_on(host, vmid)


def _unlock(config: Config) -> None:
    config.values.pop("lock", None)


def _check_newest(host: Host, config: Config, name: str) -> None:
    """Some storages go back to the newest snapshot only; snapshots are kept in the order they were taken."""
    if next(reversed(config.snapshots)) == name:
        return
    for drive in drives.disks(config.snapshot(name)):
        if not host.storages.of(drive.volume).rolls_back_any:
            raise Failure(f"can't rollback, '{name}' is not most recent snapshot on '{drive.volume}'")


def _row(name: str, values: Values) -> dict[str, Any]:
    row = {
        "name": name,
        "description": values.get("description", ""),
        "snaptime": values["snaptime"],
        "vmstate": 0,
    }
    return row | _only(values, "parent", "snapstate")


def _only(values: Values, *keys: str) -> Values:
    return {key: values[key] for key in keys if values.get(key)}


def _kept(values: Values, description: str) -> Values:
    copied = {key: value for key, value in values.items() if key not in {*_NEVER_KEPT, "description"}}
    kept = {key: value for key, value in copied.items() if not key.startswith("unused")}
    return kept | {"description": description, "snaptime": int(time.time())}


def _commit(config: Config, name: str) -> None:
    config.snapshots[name].pop("snapstate")
    config.values["parent"] = name
    _unlock(config)


def _forget(config: Config, name: str) -> None:
    """Remove a snapshot from the tree: its children become its parent's."""
    parent = config.snapshots.pop(name).get("parent")
    for values in (config.values, *config.snapshots.values()):
        if values.get("parent") == name:
            del values["parent"]
            values.update({"parent": parent} if parent else {})
    _unlock(config)


def _restored(config: Config, name: str) -> Values:
    """The configuration of a snapshot as the current one. Description and unused disks stay as they are."""
    stays = {
        key: value for key, value in config.values.items() if key == "description" or key.startswith("unused")
    }
    values = {key: value for key, value in config.snapshot(name).items() if key not in _OWN}
    if "vmgenid" in values:
        values["vmgenid"] = new_uuid()
    return values | stays | {"parent": name}
