"""What the guest agent tells about a guest as a whole, and the few things it does to it as a whole.

Answers are true of embedded guests: a directory for a disk, this computer's clock and kernel, no users logged in.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proxmox.node import drives
from proxmox.node.host import Host
from proxmox.node.usage import memory_bytes, processors

VERSION = "10.0.0"  # of QEMU's agent, whose answers these are like
BLOCK_BYTES = 128 * 1024**2
SHUTDOWN_SECONDS = 60
_OTHERS = (
    *("sync", "sync-delimited", "exec", "exec-status", "file-open", "file-close", "file-read", "file-write"),
    *("file-seek", "set-user-password"),
)
_SILENT = ("shutdown", "suspend-disk", "suspend-hybrid", "suspend-ram")  # no answer when they succeed
_COUNTERS = ("bytes", "packets", "errs", "dropped")  # the first columns of /proc/net/dev, each way


def _info(host: Host, vmid: int) -> Any:
    names = sorted((*COMMANDS, *_OTHERS))
    commands = [
        {"name": f"guest-{name}", "enabled": True, "success-response": name not in _SILENT} for name in names
    ]
    return {"version": VERSION, "supported_commands": commands}


def _interfaces(host: Host, vmid: int) -> Any:
    """Guests share this computer's network; what they can rely on is the loopback interface."""
    addresses = [
        {"ip-address-type": "ipv4", "ip-address": "127.0.0.1", "prefix": 8},
        {"ip-address-type": "ipv6", "ip-address": "::1", "prefix": 128},
    ]
    loopback = {"name": "lo", "hardware-address": "00:00:00:00:00:00", "ip-addresses": addresses}
    return [loopback | {"statistics": _statistics(host.guests.pid(vmid), "lo")}]


def _statistics(pid: int, interface: str) -> dict[str, int]:
    """Counters of an interface as the guest sees it; zeros where there is no /proc."""
    try:
        lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()
    except OSError:
        lines = []
    rows = (line.partition(":") for line in lines)
    columns = next((values.split() for name, _, values in rows if name.strip() == interface), ["0"] * 16)
    received = {f"rx-{name}": int(columns[at]) for at, name in enumerate(_COUNTERS)}
    return received | {f"tx-{name}": int(columns[8 + at]) for at, name in enumerate(_COUNTERS)}


def _timezone(host: Host, vmid: int) -> Any:
    now = time.localtime()
    return {"zone": now.tm_zone, "offset": now.tm_gmtoff}


def _vcpus(host: Host, vmid: int) -> Any:
    count = processors(host.configs.view(vmid).values)
    return [{"logical-id": number, "online": True, "can-offline": number > 0} for number in range(count)]


def _filesystems(host: Host, vmid: int) -> Any:
    """One file system as large as all disks together; which disk it is on is what the configuration says."""
    values = host.configs.view(vmid).values
    nowhere = dict.fromkeys(("domain", "bus", "slot", "function"), -1)
    disks = [
        {"bus-type": drive.key.rstrip("0123456789"), "bus": 0, "target": 0, "unit": number}
        | {"pci-controller": nowhere, "serial": f"drive-{drive.key}"}
        for number, drive in enumerate(drives.disks(values))
    ]
    sizes = {"total-bytes": drives.capacity(values), "used-bytes": host.disks.used(vmid)}
    return [{"name": "root", "mountpoint": "/", "type": "none", "disk": disks} | sizes]


def _memory_blocks(host: Host, vmid: int) -> Any:
    count = memory_bytes(host.configs.view(vmid).values) // BLOCK_BYTES
    return [{"phys-index": number, "online": True, "can-offline": False} for number in range(count)]


def _shutdown(host: Host, vmid: int) -> Any:
    threading.Thread(target=host.guests.shutdown, args=(vmid, SHUTDOWN_SECONDS), daemon=True).start()
    return {}


def _cannot_suspend(host: Host, vmid: int) -> Any:
    return {"error": {"class": "GenericError", "desc": "the requested suspend mode is not supported"}}


def _told(do: str) -> Callable[[Host, int], Any]:
    return lambda host, vmid: host.guests.ask(vmid, do)


# The commands without parameters: their HTTP method, and what answers them.
COMMANDS: dict[str, tuple[str, Callable[[Host, int], Any]]] = {
    "fsfreeze-freeze": ("POST", lambda host, vmid: host.guests.freeze_files(vmid)),
    "fsfreeze-status": ("POST", lambda host, vmid: "frozen" if host.guests.files_frozen(vmid) else "thawed"),
    "fsfreeze-thaw": ("POST", lambda host, vmid: host.guests.thaw_files(vmid)),
    "fstrim": ("POST", lambda host, vmid: {"paths": [{"path": "/", "trimmed": 0, "minimum": 0}]}),
    "get-fsinfo": ("GET", _filesystems),
    "get-host-name": ("GET", _told("hostname")),
    "get-memory-block-info": ("GET", lambda host, vmid: {"size": BLOCK_BYTES}),
    "get-memory-blocks": ("GET", _memory_blocks),
    "get-osinfo": ("GET", _told("osinfo")),
    "get-time": ("GET", lambda host, vmid: time.time_ns()),
    "get-timezone": ("GET", _timezone),
    "get-users": ("GET", lambda host, vmid: []),
    "get-vcpus": ("GET", _vcpus),
    "info": ("GET", _info),
    "network-get-interfaces": ("GET", _interfaces),
    "ping": ("POST", lambda host, vmid: {}),
    "shutdown": ("POST", _shutdown),
    "suspend-disk": ("POST", _cannot_suspend),
    "suspend-hybrid": ("POST", _cannot_suspend),
    "suspend-ram": ("POST", _cannot_suspend),
}
