"""Power: start, stop, shutdown, reboot, reset, suspend, resume."""

from proxmox.node import drives
from proxmox.node.api.common import VM, check_running, locked, start_task
from proxmox.node.errors import Failure
from proxmox.node.host import Host
from proxmox.node.routes import COUNT, FLAG, TEXT, Call, route
from proxmox.node.tasks import Task

SHUTDOWN_SECONDS = 60
NO_MEMORY_IMAGE = "Cannot live-migrate, snapshot (with RAM), or hibernate a VM with: embedded"

_START = {
    **dict.fromkeys(("force-cpu", "machine", "migratedfrom", "migration_network", "migration_type"), TEXT),
    **dict.fromkeys(("nets-host-mtu", "stateuri", "targetstorage"), TEXT),
    "skiplock": FLAG,
    "timeout": COUNT,
}
_STOP = {
    "keepActive": FLAG,
    "migratedfrom": TEXT,
    "overrule-shutdown": FLAG,
    "skiplock": FLAG,
    "timeout": COUNT,
}


@route("POST", VM + "/status/start", **_START)
def start(host: Host, call: Call) -> str:
    vmid = call.vmid
    return start_task(host, call, "qmstart", lambda task: _start(host, vmid, task))


@route("POST", VM + "/status/stop", **_STOP)
def stop(host: Host, call: Call) -> str:
    vmid = call.vmid
    if call.get("overrule-shutdown"):
        _overrule(host, vmid)
    return start_task(host, call, "qmstop", lambda task: _stop(host, vmid, task))


@route("POST", VM + "/status/shutdown", forceStop=FLAG, keepActive=FLAG, skiplock=FLAG, timeout=COUNT)
def shutdown(host: Host, call: Call) -> str:
    vmid, seconds, force = call.vmid, call.get("timeout", SHUTDOWN_SECONDS), bool(call.get("forceStop"))
    return start_task(host, call, "qmshutdown", lambda task: _shutdown(host, vmid, seconds, force, task))


@route("POST", VM + "/status/reboot", timeout=COUNT)
def reboot(host: Host, call: Call) -> str:
    vmid, seconds = call.vmid, call.get("timeout", SHUTDOWN_SECONDS)
    check_running(host, vmid)
    return start_task(host, call, "qmreboot", lambda task: _reboot(host, vmid, seconds, task))


@route("POST", VM + "/status/reset", skiplock=FLAG)
def reset(host: Host, call: Call) -> str:
    vmid = call.vmid
    check_running(host, vmid)
    return start_task(host, call, "qmreset", lambda task: _reset(host, vmid, task))


@route("POST", VM + "/status/suspend", skiplock=FLAG, todisk=FLAG, statestorage=TEXT)
def suspend(host: Host, call: Call) -> str:
    vmid = call.vmid
    check_running(host, vmid)
    if call.get("todisk"):
        raise Failure(NO_MEMORY_IMAGE)
    return start_task(host, call, "qmpause", lambda task: _suspend(host, vmid, task))


@route("POST", VM + "/status/resume", skiplock=FLAG, nocheck=FLAG)
def resume(host: Host, call: Call) -> str:
    vmid = call.vmid
    check_running(host, vmid)
    return start_task(host, call, "qmresume", lambda task: _resume(host, vmid, task))


def power_on(host: Host, vmid: int) -> None:
    """Start a VM whose configuration lock is held."""
    config = host.configs.load(vmid)
    if config.values.get("template"):
        raise Failure("you can't start a vm if it's a template")
    config.check_lock()
    if host.guests.power(vmid) != "stopped":
        raise Failure(f"VM {vmid} already running")
    if not host.disks.exists(vmid):
        raise Failure(f"volume '{drives.disks(config.values)[0].volume}' does not exist")
    if config.pending:
        config.apply_pending()
        host.configs.save(vmid, config)
    host.guests.start(vmid, str(config.values.get("name", f"VM{vmid}")))


def _start(host: Host, vmid: int, task: Task) -> None:
    with locked(host, vmid, task):
        power_on(host, vmid)


def _stop(host: Host, vmid: int, task: Task) -> None:
    with locked(host, vmid, task):
        if vmid not in host.configs:
            raise Failure(f"unable to find configuration file for VM {vmid} on node '{host.name}'")
        if host.guests.power(vmid) == "stopped":
            return
        host.configs.view(vmid).check_lock()
        host.guests.stop(vmid)


def _shutdown(host: Host, vmid: int, seconds: int, force: bool, task: Task) -> None:
    with locked(host, vmid, task):
        if vmid not in host.configs:
            raise Failure(f"unable to find configuration file for VM {vmid} on node '{host.name}'")
        if host.guests.power(vmid) == "stopped":
            return
        host.configs.view(vmid).check_lock()
        if host.guests.shutdown(vmid, seconds, task.checkpoint):
            return
        if not force:
            raise Failure("VM quit/powerdown failed - got timeout")
        task.log("VM still running - terminating now with SIGTERM")
        host.guests.stop(vmid)


def _reboot(host: Host, vmid: int, seconds: int, task: Task) -> None:
    with locked(host, vmid, task):
        host.configs.view(vmid).check_lock()
        if not host.guests.shutdown(vmid, seconds, task.checkpoint):
            raise Failure("VM quit/powerdown failed - got timeout")
        power_on(host, vmid)


def _reset(host: Host, vmid: int, task: Task) -> None:
    with locked(host, vmid, task):
        config = host.configs.view(vmid)
        config.check_lock()
        host.guests.stop(vmid)
        host.guests.start(vmid, str(config.values.get("name", f"VM{vmid}")))


def _suspend(host: Host, vmid: int, task: Task) -> None:
    with locked(host, vmid, task):
        host.configs.view(vmid).check_lock()
        host.guests.pause(vmid, "paused")


def _resume(host: Host, vmid: int, task: Task) -> None:
    with locked(host, vmid, task):
        host.configs.view(vmid).check_lock()
        host.guests.resume(vmid)


def _overrule(host: Host, vmid: int) -> None:
    """Cancel the VM's shutdown tasks, which hold its lock."""
    for row in host.tasks.listing("active"):
        if row["type"] == "qmshutdown" and row["id"] == str(vmid):
            host.tasks.cancel(row["upid"])
