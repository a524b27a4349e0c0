"""Power: start, stop, shutdown, reboot, reset, suspend, resume; and a monitor that knows one question.

A VM's configuration lock is held for as long as an operation takes: a shutdown holds it until the guest is off.
"""

from proxmox.node import drives
from proxmox.node.api.common import VM, check_running, locked, start_task
from proxmox.node.api.vms import agent_enabled
from proxmox.node.configs import Config
from proxmox.node.errors import Failure
from proxmox.node.host import Host
from proxmox.node.routes import COUNT, FLAG, TEXT, Call, route
from proxmox.node.schema import Parameter
from proxmox.node.tasks import Task

SHUTDOWN_SECONDS = 60
CLEANUP_WINDOW_SECONDS = 5  # a VM that was off for less than this meets the clean-up of its earlier self
NO_MEMORY_IMAGE = "Cannot live-migrate, snapshot (with RAM), or hibernate a VM with: embedded"
_MONITORED = {"io-error": "paused (io-error)"}

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
    return begin(host, call.vmid, call.user)


@route("POST", VM + "/status/stop", **_STOP)
def stop(host: Host, call: Call) -> str:
    vmid, overrule = call.vmid, bool(call.get("overrule-shutdown"))
    return start_task(host, call, "qmstop", lambda task: _stop(host, vmid, overrule, task))


@route("POST", VM + "/status/shutdown", forceStop=FLAG, keepActive=FLAG, skiplock=FLAG, timeout=COUNT)
def shutdown(host: Host, call: Call) -> str:
    vmid, seconds, force = call.vmid, call.get("timeout", SHUTDOWN_SECONDS), bool(call.get("forceStop"))
    if not force:
        _check_not_paused(host, vmid)
    return start_task(host, call, "qmshutdown", lambda task: _shutdown(host, vmid, seconds, force, task))


@route("POST", VM + "/status/reboot", timeout=COUNT)
def reboot(host: Host, call: Call) -> str:
    vmid, seconds = call.vmid, call.get("timeout", SHUTDOWN_SECONDS)
    _check_not_paused(host, vmid)
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
        return start_task(host, call, "qmsuspend", lambda task: _suspend_to_disk(host, vmid, task))
    return start_task(host, call, "qmpause", lambda task: _suspend(host, vmid, task))


@route("POST", VM + "/status/resume", skiplock=FLAG, nocheck=FLAG)
def resume(host: Host, call: Call) -> str:
    vmid = call.vmid
    check_running(host, vmid)
    return start_task(host, call, "qmresume", lambda task: _resume(host, vmid, task))


@route("POST", VM + "/monitor", command=Parameter(optional=False))
def monitor(host: Host, call: Call) -> str:
    """QEMU's monitor, as far as there is anything to ask: `info status`."""
    power = host.guests.power(call.vmid)
    if power == "stopped":
        return f"ERROR: VM {call.vmid} not running\n"
    if call["command"] != "info status":
        return f"unknown command: '{call['command']}'\r\n"
    return f"VM status: {_MONITORED.get(power, power)}\r\n"


@route("PUT", VM + "/sendkey", key=Parameter(optional=False), skiplock=FLAG)
def send_key(host: Host, call: Call) -> None:
    """Accepted, and without effect: an embedded guest has no keyboard."""
    check_running(host, call.vmid)


def begin(host: Host, vmid: int, user: str) -> str:
    """Start a VM in a task; its UPID."""
    return host.tasks.start("qmstart", vmid, user, lambda task: _start(host, vmid, task))


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
    for drive in drives.disks(config.values):
        host.faults.check_storage(drive.volume.partition(":")[0])
    if config.pending:
        config.apply_pending()
        host.configs.save(vmid, config)
    host.guests.start(vmid, str(config.values.get("name", f"VM{vmid}")))
    if host.options.cleanup_seconds and host.guests.off_seconds(vmid) < CLEANUP_WINDOW_SECONDS:
        host.locks.linger(vmid, host.options.cleanup_seconds)


def _check_not_paused(host: Host, vmid: int) -> None:
    """A guest that is frozen would get the request when it goes on. Raises `Failure`."""
    if host.guests.power(vmid) == "paused":
        raise Failure("VM is paused - cannot shutdown")


def _check_lock(config: Config, *allowed: str) -> None:
    if config.values.get("lock") not in allowed:
        config.check_lock()


def _start(host: Host, vmid: int, task: Task) -> None:
    with locked(host, vmid, task):
        task.checkpoint()
        power_on(host, vmid)


def _stop(host: Host, vmid: int, overrule: bool, task: Task) -> None:
    if overrule and (overruled := _overrule(host, vmid)):
        task.log(f"overruled qmshutdown tasks: {', '.join(overruled)}")
    with locked(host, vmid, task):
        if _is_off(host, vmid):
            return
        host.configs.view(vmid).check_lock()
        task.checkpoint()
        host.guests.stop(vmid)


def _shutdown(host: Host, vmid: int, seconds: int, force: bool, task: Task) -> None:
    with locked(host, vmid, task):
        if _is_off(host, vmid):
            return
        host.configs.view(vmid).check_lock()
        if host.guests.power(vmid) == "paused":
            host.guests.stop(vmid)
        elif not _shut_down(host, vmid, seconds, task):
            if not force:
                raise Failure("VM quit/powerdown failed - got timeout")
            task.log("VM still running - terminating now with SIGTERM")
            host.guests.stop(vmid)


def _is_off(host: Host, vmid: int) -> bool:
    if vmid not in host.configs:
        raise Failure(f"unable to find configuration file for VM {vmid} on node '{host.name}'")
    return host.guests.power(vmid) == "stopped"


def _shut_down(host: Host, vmid: int, seconds: int, task: Task) -> bool:
    """Ask the guest to end; False when it has not within `seconds`."""
    if agent_enabled(host.configs.view(vmid).values):
        try:
            host.guests.ask(vmid, "ping")
        except Failure:
            monitor = "qmp" if host.options.release == "8.4" else "qga"
            reason = f"VM {vmid} {monitor} command 'guest-ping' failed - got timeout"
            task.log(f"QEMU Guest Agent is not running - {reason}")
    task.checkpoint()
    return host.guests.shutdown(vmid, seconds, task.checkpoint)


def _reboot(host: Host, vmid: int, seconds: int, task: Task) -> None:
    with locked(host, vmid, task):
        host.configs.view(vmid).check_lock()
        if not _shut_down(host, vmid, seconds, task):
            raise Failure("VM quit/powerdown failed - got timeout")
        power_on(host, vmid)


def _reset(host: Host, vmid: int, task: Task) -> None:
    with locked(host, vmid, task):
        config = host.configs.view(vmid)
        config.check_lock()
        task.checkpoint()
        host.guests.stop(vmid)
        host.guests.start(vmid, str(config.values.get("name", f"VM{vmid}")))


def _suspend(host: Host, vmid: int, task: Task) -> None:
    with locked(host, vmid, task):
        _check_lock(host.configs.view(vmid), "backup")
        task.checkpoint()
        host.guests.pause(vmid, "paused")


def _suspend_to_disk(host: Host, vmid: int, task: Task) -> None:
    with locked(host, vmid, task):
        host.configs.view(vmid).check_lock()
        raise Failure(NO_MEMORY_IMAGE)


def _resume(host: Host, vmid: int, task: Task) -> None:
    with locked(host, vmid, task):
        _check_lock(host.configs.view(vmid), "backup")
        task.checkpoint()
        host.guests.resume(vmid)


def _overrule(host: Host, vmid: int) -> list[str]:
    """Cancel the VM's shutdown tasks, which hold its lock; their UPIDs."""
    rows = host.tasks.listing("active")
    upids = [row["upid"] for row in rows if row["type"] == "qmshutdown" and row["id"] == str(vmid)]
    for upid in upids:
        host.tasks.cancel(upid)
    return upids
