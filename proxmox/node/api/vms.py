"""VMs: list, status, destroy."""

from typing import Any

from proxmox.node import drives, machine_facts
from proxmox.node.api.common import VM, locked, start_task
from proxmox.node.configs import Values
from proxmox.node.errors import Failure
from proxmox.node.host import Host
from proxmox.node.routes import FLAG, Call, route
from proxmox.node.tasks import Task
from proxmox.node.usage import memory_bytes, processors

_BELOW = (  # as Proxmox lists them
    *("config", "cloudinit", "pending", "status", "unlink", "vncproxy", "termproxy", "migrate", "resize"),
    *("move", "rrd", "rrddata", "monitor", "agent", "snapshot", "spiceproxy", "sendkey", "firewall"),
    *("mtunnel", "remote_migrate"),
)


@route("GET", "/nodes/{node}/qemu", full=FLAG)
def vms(host: Host, call: Call) -> list[dict[str, Any]]:
    if call.get("full"):
        return [described(host, vmid) | running(host, vmid) for vmid in host.configs.all()]
    rows = [described(host, vmid) for vmid in host.configs.all()]
    return [{key: value for key, value in row.items() if key != "qmpstatus"} for row in rows]


@route("GET", VM)
def index(host: Host, call: Call) -> list[dict[str, str]]:
    host.configs.view(call.vmid)
    return [{"subdir": name} for name in _BELOW]


@route("GET", VM + "/status/current")
def status(host: Host, call: Call) -> dict[str, Any]:
    values = host.configs.view(call.vmid).values
    more: dict[str, Any] = {"agent": 1} if agent_enabled(values) else {}
    more |= {"clipboard": None} if "vga" in values else {}
    return described(host, call.vmid) | running(host, call.vmid) | more | {"ha": {"managed": 0}}


def running(host: Host, vmid: int) -> dict[str, Any]:
    """What is told of a VM that is on, besides what lists show."""
    values = host.configs.view(vmid).values
    if host.guests.power(vmid) == "stopped":
        return {}
    return disk_traffic(host, vmid) | machine_facts.facts(
        vmid, values, memory_bytes(values), host.release.machine
    )


def disk_traffic(host: Host, vmid: int) -> dict[str, int]:
    """Bytes since power-on."""
    _, used = host.usage(vmid)
    return {"diskread": used.disk_read_bytes, "diskwrite": used.disk_written_bytes}


def described(host: Host, vmid: int) -> dict[str, Any]:
    """A VM as the lists show it."""
    values, power = host.configs.view(vmid).values, host.guests.power(vmid)
    cores, (cpu, used) = processors(values), host.usage(vmid)
    row = {
        "vmid": vmid,
        "name": values.get("name") or f"VM {vmid}",
        "status": "stopped" if power == "stopped" else "running",
        "qmpstatus": power,
        "cpus": cores,
        "cpu": cpu / cores,
        "mem": used.memory_bytes,
        "maxmem": memory_bytes(values),
        "disk": 0,  # Proxmox does not know how full a VM's disk is either
        "maxdisk": drives.capacity(values),
        "uptime": int(host.guests.uptime(vmid)),
        "netin": 0,
        "netout": 0,
    }
    optional = {"pid": host.guests.pid(vmid), "lock": values.get("lock"), "tags": values.get("tags")}
    optional |= {"template": values.get("template"), "serial": int("serial0" in values)}
    if host.release.tells_host_memory:
        row |= {"memhost": used.memory_bytes} | (machine_facts.pressures() if power != "stopped" else {})
    return row | {key: value for key, value in optional.items() if value}


def agent_enabled(values: Values) -> bool:
    """Whether the guest agent is switched on."""
    return str(values.get("agent", "0")).split(",")[0].removeprefix("enabled=") == "1"


def agent_answers(host: Host, vmid: int) -> bool:
    """Whether the guest agent is switched on and can be talked to; waits for it as a call to it does."""
    if not agent_enabled(host.configs.view(vmid).values):
        return False
    try:
        host.guests.ask(vmid, "ping")
    except Failure:
        return False
    return True


_DESTROY = {"purge": FLAG, "destroy-unreferenced-disks": FLAG, "skiplock": FLAG}


@route("DELETE", VM, **_DESTROY)
def destroy(host: Host, call: Call) -> str:
    vmid, values = call.vmid, host.configs.view(call.vmid).values
    if values.get("protection"):
        raise Failure(f"can't remove VM {vmid} - protection mode enabled")
    if host.guests.power(vmid) != "stopped":
        raise Failure(f"VM {vmid} is running - destroy failed")
    purge = bool(call.get("purge"))
    return start_task(host, call, "qmdestroy", lambda task: _destroy(host, vmid, purge, task))


def _destroy(host: Host, vmid: int, purge: bool, task: Task) -> None:
    with locked(host, vmid, task):
        config = host.configs.view(vmid)
        config.check_lock()
        if host.guests.power(vmid) != "stopped":
            raise Failure(f"VM {vmid} is running - destroy failed")
        _check_unused(host, config.values)
        _check_storages(host, config.values, task)
        task.checkpoint()
        if purge:
            task.log(f"purging VM {vmid} from related configurations..")
        remove(host, vmid)
        host.accounts.forget_vm(vmid)


def remove(host: Host, vmid: int) -> None:
    """Remove a VM that is off: disk and snapshots, pool membership, firewall, configuration."""
    host.disks.destroy(vmid)
    host.volumes.forget(vmid)
    host.pools.remove(vmid)
    host.firewall.remove(vmid)
    host.configs.delete(vmid)
    host.garbage.expect()


def _check_unused(host: Host, values: Values) -> None:
    """A template's disk may be what the disks of linked clones build on; their volume ids say so."""
    if not values.get("template"):
        return
    used = {drive.volume for other in host.configs.all().values() for drive in drives.disks(other.values)}
    for base in drives.disks(values):
        storage, _, name = base.volume.partition(":")
        if (
            storage in host.storages
            and host.storages.get(storage).guards_bases
            and _has_clones(storage, name, used)
        ):
            raise Failure(f"base volume '{base.volume}' is still in use by linked cloned")


def _has_clones(storage: str, base: str, used: set[str]) -> bool:
    """A clone of a clone names only the last base."""
    last = "/".join(base.split("/")[-2:]) if "." in base else base.rpartition("/")[2]
    return any(volume.startswith(f"{storage}:{last}/") for volume in used)


def _check_storages(host: Host, values: Values, task: Task) -> None:
    """A disk whose storage is gone keeps its VM from being destroyed, or is left behind, as the release does it."""
    for drive in drives.disks(values):
        storage = drive.volume.partition(":")[0]
        if storage in host.storages:
            continue
        text = f"storage '{storage}' does not exist"
        if not host.release.warns_of_lost_storage:
            raise Failure(text)
        task.warn(f"failed to get path and owner of volume '{drive.volume}': {text}")
