"""Creating a VM, and reading and changing its configuration."""

import re
import time
from contextlib import nullcontext
from typing import Any

from proxmox.node import allocation, drives, identity
from proxmox.node.access.options import check_new_tags
from proxmox.node.api.backup import RESTORE, restore
from proxmox.node.api.cloudinit import check_keys
from proxmox.node.api.common import VM, allocating, locked
from proxmox.node.api.disks import drop
from proxmox.node.api.power import power_on
from proxmox.node.configs import Config, Values
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.host import Host
from proxmox.node.routes import COUNT, FLAG, SNAPNAME, TEXT, VMID, Call, route
from proxmox.node.schema import Parameter
from proxmox.node.tasks import Task
from proxmox.node.vm_options import AT_ONCE, AT_ONCE_PREFIXES, OPTIONS, is_known

_SIZE = re.compile(r"\d+(?:\.\d+)?")
_EDIT = {"delete": TEXT, "revert": TEXT, "digest": Parameter(max_length=40), "force": FLAG, "skiplock": FLAG}


@route("GET", VM + "/config", current=FLAG, snapshot=SNAPNAME)
def config_of(host: Host, call: Call) -> Values:
    config = host.configs.view(call.vmid)
    if snapshot := call.get("snapshot"):
        return config.snapshot(snapshot) | {"digest": config.digest}
    pending = {} if call.get("current") else config.pending
    shown = {key: value for key, value in (config.values | pending).items() if value is not None}
    return shown | {"digest": config.digest}


@route("GET", VM + "/pending")
def pending(host: Host, call: Call) -> list[dict[str, Any]]:
    config = host.configs.view(call.vmid)
    keys = dict.fromkeys((*config.values, *config.pending))
    return [_pending_row(config, key) for key in keys] + [{"key": "digest", "value": config.digest}]


@route("PUT", VM + "/config", **_EDIT, **OPTIONS)
def update(host: Host, call: Call) -> None:
    _check_edit(host, call)
    if host.release.checks_lock_first and not call.get("skiplock"):
        host.configs.view(call.vmid).check_lock()
    with host.locks.hold(call.vmid):
        _edit(host, call, allocation.Request())


@route("POST", VM + "/config", background_delay=COUNT, **{"import-working-storage": TEXT}, **_EDIT, **OPTIONS)
def update_in_background(host: Host, call: Call) -> str:
    _check_edit(host, call)
    host.configs.view(call.vmid).check_lock()

    def work(task: Task) -> None:
        sent = " ".join(f"-{name} {value}" for name, value in call.sent("digest").items())
        task.log(f"update VM {call.vmid}: {sent}")
        with locked(host, call.vmid, task):
            _edit(host, call, task)

    return host.tasks.start("qmconfig", call.vmid, call.user, work)


@route("POST", "/nodes/{node}/qemu", vmid=VMID, pool=TEXT, start=FLAG, storage=TEXT, **RESTORE, **OPTIONS)
def create(host: Host, call: Call) -> str:
    """A new VM, empty or from a backup."""
    if call.get("archive"):
        return restore(host, call)
    vmid, pool = call.vmid, call.get("pool", "")
    if vmid in host.configs:
        raise Failure(f"unable to create VM {vmid} - VM {vmid} already exists on node '{host.name}'")
    check_pool(host, pool)
    options = call.sent("pool", "start", "storage")
    _check_options(host, options)
    config = Config({"lock": "create"})
    if not host.configs.create(vmid, config):
        raise Failure(f"unable to create VM {vmid} - VM {vmid} already exists on node '{host.name}'")
    start = bool(call.get("start"))
    return host.tasks.start(
        "qmcreate", vmid, call.user, lambda task: _create(host, call, options, pool, start, task)
    )


def check_pool(host: Host, pool: str) -> None:
    """Raises `Failure` for a pool that is not there; it is the permission check that notices."""
    if pool and pool not in host.pools:
        raise Failure(f"Permission check failed (pool '{pool}' does not exist)", status=403)


def _create(host: Host, call: Call, options: Values, pool: str, start: bool, task: Task) -> None:
    vmid = call.vmid
    with locked(host, vmid, task):
        task.checkpoint()
        config = Config({"smbios1": f"uuid={identity.new_uuid()}", "vmgenid": identity.new_uuid()})
        try:
            check_new_tags(host, call.user, vmid, options)
            for key, value in options.items():
                config.values[key] = _prepared(host, vmid, config.values, key, value, task)
        except Failure:
            host.disks.destroy(vmid)
            host.configs.delete(vmid)
            raise
        config.values.setdefault("boot", _boot_order(config.values))
        config.values["meta"] = f"creation-qemu=10.0.2,ctime={int(time.time())}"
        host.disks.create(vmid)
        if pool:
            host.pools.add(pool, vmid)
        host.configs.save(vmid, config)
        if start:
            power_on(host, vmid)


def _boot_order(values: Values) -> str:
    """The first disk, the first CD-ROM drive, the first network device (qemu-server: get_default_bootdevices)."""
    disk = drives.first(values)
    cds = sorted(key for key in values if drives.is_key(key) and "media=cdrom" in str(values[key]))
    nets = sorted(key for key in values if key.startswith("net"))
    order = [*([disk.key] if disk else []), *cds[:1], *nets[:1]]
    return f"order={';'.join(order)}" if order else " "


def _check_edit(host: Host, call: Call) -> None:
    options = call.sent("digest", "background_delay", "force")
    if not options:
        raise Failure("no options specified")
    for name in _names(call.get("delete", "")):
        if not is_known(name):
            raise BadParameters({"delete": f"unknown option '{name}'"})
    _check_options(host, call.sent(*_EDIT, "background_delay", "import-working-storage"))


def _check_options(host: Host, options: Values) -> None:
    if keys := options.get("sshkeys"):
        check_keys(str(keys))
    for key, value in options.items():
        allocation.check(host, key, value)


def _edit(host: Host, call: Call, task: allocation.Worker) -> None:
    """Change a configuration whose lock is held."""
    config = host.configs.load(call.vmid)
    if call.get("digest", config.digest) != config.digest:
        raise Failure("checksum mismatch (file change by other user?)")
    if not call.get("skiplock"):
        config.check_lock()
    running = host.guests.power(call.vmid) != "stopped"
    for key in _names(call.get("revert", "")):
        config.pending.pop(key, None)
    for key in _names(call.get("delete", "")):
        _delete(host, config, key, running, force=bool(call.get("force")))
    for key, value in call.sent(*_EDIT, "background_delay", "import-working-storage").items():
        prepared = _prepared(host, call.vmid, config.values, key, value, task)
        if drives.is_key(key):
            _use_again(config, drives.parse(key, prepared).volume)
        _set(config, key, prepared, running)
    host.configs.save(call.vmid, config)


def _use_again(config: Config, volume: str) -> None:
    """A volume that a disk uses is not unused any more."""
    for key in [key for key, value in config.values.items() if key.startswith("unused") and value == volume]:
        del config.values[key]


def _set(config: Config, key: str, value: Any, running: bool) -> None:
    config.pending.pop(key, None)
    if not running or _at_once(key):
        config.values[key] = value
    elif config.values.get(key) != value:
        config.pending[key] = value


def _delete(host: Host, config: Config, key: str, running: bool, *, force: bool) -> None:
    config.pending.pop(key, None)
    if drives.is_key(key) or key.startswith("unused"):
        drop(host, config, key, force=force)
    elif not running or _at_once(key):
        config.values.pop(key, None)
    elif key in config.values:
        config.pending[key] = None


def _prepared(host: Host, vmid: int, values: Values, key: str, value: Any, task: allocation.Worker) -> Any:
    """A value as it is stored: disks allocated, MAC addresses made up, flags as 0 or 1."""
    if isinstance(value, bool):
        return int(value)
    if key.startswith("net") and "=" not in str(value).split(",")[0]:
        return identity.with_mac(str(value))
    if not drives.is_key(key):
        return _spelled(key, value)
    storage, _, name = drives.parse(key, str(value)).volume.partition(":")
    with allocating(host, storage, task) if _SIZE.fullmatch(name) else nullcontext():
        return allocation.allocate(host, vmid, values, key, str(value), task)


def _spelled(key: str, value: Any) -> Any:
    """Tags are a set to Proxmox: lower case, sorted, separated by semicolons."""
    if key != "tags":
        return value
    return ";".join(
        sorted({tag.lower() for tag in value.replace(",", ";").replace(" ", ";").split(";") if tag})
    )


def _pending_row(config: Config, key: str) -> dict[str, Any]:
    row: dict[str, Any] = {"key": key}
    if key in config.values:
        row["value"] = config.values[key]
    if key in config.pending:
        row |= {"delete": 1} if config.pending[key] is None else {"pending": config.pending[key]}
    return row


def _names(listed: str) -> list[str]:
    return [name for name in listed.replace(";", ",").replace(" ", ",").split(",") if name]


def _at_once(key: str) -> bool:
    return key in AT_ONCE or (key.startswith(AT_ONCE_PREFIXES) and key != "scsihw")
