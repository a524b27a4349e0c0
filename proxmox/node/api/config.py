"""Creating a VM, and reading and changing its configuration."""

import time
from typing import Any

from proxmox.node import drives, identity
from proxmox.node.api.backup import RESTORE, restore
from proxmox.node.api.common import VM, locked, refuse_skiplock
from proxmox.node.api.power import power_on
from proxmox.node.api.storage import check_storage
from proxmox.node.configs import Config, Values
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.host import Host
from proxmox.node.routes import COUNT, FLAG, SNAPNAME, TEXT, VMID, Call, route
from proxmox.node.schema import Parameter
from proxmox.node.tasks import Task
from proxmox.node.vm_options import AT_ONCE, AT_ONCE_PREFIXES, OPTIONS, ROOT_ONLY

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
    _check_edit(call)
    with host.locks.hold(call.vmid):
        _edit(host, call)


@route("POST", VM + "/config", background_delay=COUNT, **{"import-working-storage": TEXT}, **_EDIT, **OPTIONS)
def update_in_background(host: Host, call: Call) -> str:
    _check_edit(call)
    host.configs.view(call.vmid).check_lock()

    def work(task: Task) -> None:
        sent = " ".join(f"-{name} {value}" for name, value in call.sent("digest").items())
        task.log(f"update VM {call.vmid}: {sent}")
        with locked(host, call.vmid, task):
            _edit(host, call)

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
    _check_root_only(options)
    config = Config({"lock": "create"})
    for key, value in options.items():
        _check_drive(host, key, value)
    if not host.configs.create(vmid, config):
        raise Failure(f"unable to create VM {vmid} - VM {vmid} already exists on node '{host.name}'")
    start = bool(call.get("start"))
    return host.tasks.start(
        "qmcreate", vmid, call.user, lambda task: _create(host, vmid, options, pool, start, task)
    )


def check_pool(host: Host, pool: str) -> None:
    """Raises `Failure` for a pool that is not there; it is the permission check that notices."""
    if pool and pool not in host.pools:
        raise Failure(f"Permission check failed (pool '{pool}' does not exist)", status=403)


def _create(host: Host, vmid: int, options: Values, pool: str, start: bool, task: Task) -> None:
    with locked(host, vmid, task):
        task.checkpoint()
        config = Config({"smbios1": f"uuid={identity.new_uuid()}", "vmgenid": identity.new_uuid()})
        for key, value in options.items():
            config.values[key] = _prepared(host, vmid, config.values, key, value)
            if drives.is_key(key):
                task.log(f"{key}: successfully created disk '{config.values[key]}'")
        disks = [drive.key for drive in drives.disks(config.values)]
        config.values.setdefault("boot", f"order={';'.join(disks)}" if disks else " ")
        config.values["meta"] = f"creation-qemu=10.0.2,ctime={int(time.time())}"
        host.disks.create(vmid)
        if pool:
            host.pools.add(pool, vmid)
        host.configs.save(vmid, config)
        if start:
            power_on(host, vmid)


def _check_edit(call: Call) -> None:
    refuse_skiplock(call)
    options = call.sent("digest", "background_delay", "force")
    if not options:
        raise Failure("no options specified")
    _check_root_only(options)
    for name in _names(call.get("delete", "")):
        if not _known(name):
            raise BadParameters({"delete": f"unknown option '{name}'"})


def _check_root_only(options: Values) -> None:
    for name in ROOT_ONLY:
        if name in options or name in _names(str(options.get("delete", ""))):
            raise Failure(f"only root can set '{name}' config")


def _edit(host: Host, call: Call) -> None:
    """Change a configuration whose lock is held."""
    config = host.configs.load(call.vmid)
    if call.get("digest", config.digest) != config.digest:
        raise Failure("checksum mismatch (file change by other user?)")
    config.check_lock()
    running = host.guests.power(call.vmid) != "stopped"
    for key in _names(call.get("revert", "")):
        config.pending.pop(key, None)
    for key in _names(call.get("delete", "")):
        _delete(host, config, key, running)
    for key, value in call.sent(*_EDIT, "background_delay", "import-working-storage").items():
        _check_drive(host, key, value)
        _set(config, key, _prepared(host, call.vmid, config.values, key, value), running)
    host.configs.save(call.vmid, config)


def _set(config: Config, key: str, value: Any, running: bool) -> None:
    config.pending.pop(key, None)
    if not running or _at_once(key):
        config.values[key] = value
    elif config.values.get(key) != value:
        config.pending[key] = value


def _delete(host: Host, config: Config, key: str, running: bool) -> None:
    if drives.is_key(key) and key in config.values:
        if config.values.get("protection"):
            raise Failure(f"can't remove drive '{key}' - protection mode enabled")
        free = next(f"unused{n}" for n in range(256) if f"unused{n}" not in config.values)
        config.values[free] = drives.parse(key, str(config.values[key])).volume
    config.pending.pop(key, None)
    if not running or _at_once(key):
        config.values.pop(key, None)
    elif key in config.values:
        config.pending[key] = None


def _prepared(host: Host, vmid: int, values: Values, key: str, value: Any) -> Any:
    """A value as it is stored: disks allocated, MAC addresses made up, flags as 0 or 1."""
    if isinstance(value, bool):
        return int(value)
    if key.startswith("net") and "=" not in str(value).split(",")[0]:
        return identity.with_mac(str(value))
    return _allocated(host, vmid, values, key, str(value)) if drives.is_key(key) else _spelled(key, value)


def _spelled(key: str, value: Any) -> Any:
    """Tags are a set to Proxmox: lower case, sorted, separated by semicolons."""
    if key != "tags":
        return value
    return ";".join(
        sorted({tag.lower() for tag in value.replace(",", ";").replace(" ", ";").split(";") if tag})
    )


def _allocated(host: Host, vmid: int, values: Values, key: str, text: str) -> str:
    """`local-lvm:4` asks for a new disk of 4 GiB; anything else names one that is there."""
    drive = drives.parse(key, text)
    name = drive.volume.partition(":")[2]
    if not name.replace(".", "", 1).isdecimal():
        return text if drive.size_bytes else str(_sized(values, drive))
    taken = {other.volume for other in drives.disks(values)}
    volumes = (host.personality.volume(vmid, number) for number in range(256))
    volume = next(volume for volume in volumes if volume not in taken)
    size = drives.size_bytes(f"{name}G")
    return str(
        drives.Drive(key, volume, tuple(o for o in drive.options if not o.startswith("format=")), size)
    )


def _sized(values: Values, drive: drives.Drive) -> drives.Drive:
    """A drive that is set again without a size keeps the one it had."""
    known = {other.volume: other.size_bytes for other in drives.disks(values)}
    return drives.Drive(drive.key, drive.volume, drive.options, known.get(drive.volume, 0))


def _check_drive(host: Host, key: str, value: Any) -> None:
    if not drives.is_key(key):
        return
    storage, _, name = drives.parse(key, str(value)).volume.partition(":")
    if not name:
        return
    check_storage(host, storage)
    if not (name.replace(".", "", 1).isdecimal() or "-disk-" in name or "/" in name or name == "cloudinit"):
        kind = "directory volume" if host.personality.plugin == "dir" else "lvm volume"
        raise Failure(f"unable to parse {kind} name '{name}'")


def _pending_row(config: Config, key: str) -> dict[str, Any]:
    row: dict[str, Any] = {"key": key}
    if key in config.values:
        row["value"] = config.values[key]
    if key in config.pending:
        row |= {"delete": 1} if config.pending[key] is None else {"pending": config.pending[key]}
    return row


def _names(listed: str) -> list[str]:
    return [name for name in listed.replace(";", ",").replace(" ", ",").split(",") if name]


def _known(name: str) -> bool:
    return name in OPTIONS or f"{name.rstrip('0123456789')}[n]" in OPTIONS


def _at_once(key: str) -> bool:
    return key in AT_ONCE or (key.startswith(AT_ONCE_PREFIXES) and key != "scsihw")
