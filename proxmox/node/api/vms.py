"""VMs: list, status, destroy, convert to template, resize a disk."""

from dataclasses import replace
from typing import Any

from proxmox.node import drives
from proxmox.node.api.common import VM, change, locked, refuse_skiplock, start_task
from proxmox.node.configs import Config, Values
from proxmox.node.errors import Failure
from proxmox.node.host import Host
from proxmox.node.routes import FLAG, TEXT, Call, route
from proxmox.node.schema import Parameter
from proxmox.node.tasks import Task

DEFAULT_MEMORY_MIB = 512


@route("GET", "/nodes/{node}/qemu", full=FLAG)
def vms(host: Host, call: Call) -> list[dict[str, Any]]:
    rows = [described(host, vmid) for vmid in host.configs.all()]
    return rows if call.get("full") else [{k: v for k, v in row.items() if k != "qmpstatus"} for row in rows]


@route("GET", VM)
def index(host: Host, call: Call) -> list[dict[str, str]]:
    host.configs.view(call.vmid)
    return [
        {"subdir": name} for name in ("config", "pending", "status", "resize", "agent", "snapshot", "feature")
    ]


@route("GET", VM + "/status/current")
def status(host: Host, call: Call) -> dict[str, Any]:
    values = host.configs.view(call.vmid).values
    agent = {"agent": 1} if agent_enabled(values) else {}
    return described(host, call.vmid) | {"ha": {"managed": 0}} | agent


def described(host: Host, vmid: int) -> dict[str, Any]:
    """A VM as the lists show it."""
    values, power = host.configs.view(vmid).values, host.guests.power(vmid)
    cores, (cpu, memory) = processors(values), host.usage(vmid)
    row = {
        "vmid": vmid,
        "name": values.get("name") or f"VM {vmid}",
        "status": "stopped" if power == "stopped" else "running",
        "qmpstatus": power,
        "cpus": cores,
        "cpu": cpu / cores,
        "mem": memory,
        "maxmem": memory_bytes(values),
        "disk": 0,  # Proxmox does not know how full a VM's disk is either
        "maxdisk": drives.capacity(values),
        "uptime": int(host.guests.uptime(vmid)),
        "netin": 0,
        "netout": 0,
    }
    optional = {"pid": host.guests.pid(vmid), "lock": values.get("lock"), "tags": values.get("tags")}
    optional["template"] = values.get("template")
    return row | {key: value for key, value in optional.items() if value}


def processors(values: Values) -> int:
    """How many processors a VM has."""
    return int(values.get("sockets", 1)) * int(values.get("cores", 1))


def memory_bytes(values: Values) -> int:
    """How much main memory a VM has."""
    return int(str(values.get("memory", DEFAULT_MEMORY_MIB)).removeprefix("current=")) * 1024**2


def agent_enabled(values: Values) -> bool:
    """Whether the guest agent is switched on."""
    return str(values.get("agent", "0")).split(",")[0].removeprefix("enabled=") == "1"


_DESTROY = {"purge": FLAG, "destroy-unreferenced-disks": FLAG, "skiplock": FLAG}


@route("DELETE", VM, **_DESTROY)
def destroy(host: Host, call: Call) -> str:
    vmid, values = call.vmid, host.configs.view(call.vmid).values
    refuse_skiplock(call)
    if values.get("protection"):
        raise Failure(f"can't remove VM {vmid} - protection mode enabled")
    if host.guests.power(vmid) != "stopped":
        raise Failure(f"VM {vmid} is running - destroy failed")
    return start_task(host, call, "qmdestroy", lambda task: _destroy(host, vmid, task))


def _destroy(host: Host, vmid: int, task: Task) -> None:
    with locked(host, vmid, task):
        config = host.configs.view(vmid)
        config.check_lock()
        if host.guests.power(vmid) != "stopped":
            raise Failure(f"VM {vmid} is running - destroy failed")
        _check_unused(host, config.values)
        task.checkpoint()
        remove(host, vmid)


def remove(host: Host, vmid: int) -> None:
    """Remove a VM that is off: disk and snapshots, pool membership, configuration."""
    host.disks.destroy(vmid)
    host.pools.remove(vmid)
    host.configs.delete(vmid)
    host.garbage.expect()


def _check_unused(host: Host, values: Values) -> None:
    """A template's disk may be what the disks of linked clones build on; their volume ids say so."""
    if not host.personality.guards_bases or not values.get("template"):
        return
    used = {drive.volume for other in host.configs.all().values() for drive in drives.disks(other.values)}
    for base in drives.disks(values):
        if any(volume.startswith(f"{base.volume}/") for volume in used):
            raise Failure(f"base volume '{base.volume}' is still in use by linked cloned")


@route("POST", VM + "/template", disk=TEXT)
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
        host.disks.make_base(vmid, task.checkpoint)
        config.values["template"] = 1
        for number, drive in enumerate(drives.disks(config.values)):
            config.values[drive.key] = str(replace(drive, volume=host.personality.base_volume(vmid, number)))
        host.configs.save(vmid, config)


@route(
    "PUT",
    VM + "/resize",
    disk=Parameter(optional=False, pattern=r"(ide|sata|scsi|virtio)\d+|efidisk0|tpmstate0"),
    size=Parameter(optional=False, pattern=r"\+?\d+(\.\d+)?[KMGT]?"),
    digest=Parameter(max_length=40),
    skiplock=FLAG,
)
def resize(host: Host, call: Call) -> str:
    vmid, disk, size = call.vmid, call["disk"], call["size"]
    return start_task(host, call, "resize", lambda task: _resize(host, vmid, disk, size, task))


def _resize(host: Host, vmid: int, disk: str, size: str, task: Task) -> None:
    def edit(config: Config) -> None:
        config.check_lock()
        if disk not in config.values:
            raise Failure(f"disk '{disk}' does not exist")
        drive = drives.parse(disk, str(config.values[disk]))
        wanted = drives.size_bytes(size.removeprefix("+")) + (drive.size_bytes if size.startswith("+") else 0)
        if wanted < drive.size_bytes:
            raise Failure("shrinking disks is not supported")
        config.values[disk] = str(replace(drive, size_bytes=wanted))

    change(host, vmid, task, edit)
