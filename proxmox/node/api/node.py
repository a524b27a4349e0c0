"""The node itself: its row in lists, its status, its network."""

import hashlib
import os
import platform
import re
import ssl
import time
from pathlib import Path
from typing import Any

from proxmox.node.host import REPOID, Host
from proxmox.node.routes import Call, route
from proxmox.node.schema import Parameter
from proxmox.node.usage import memory_of_host

NODE = "/nodes/{node}"
_BELOW = ("qemu", "tasks", "storage", "vzdump", "network", "firewall", "status", "version", "rrddata")
_INTERFACES = ("bridge", "bond", "eth", "alias", "vlan", "any_bridge", "any_local_bridge")


@route("GET", "/nodes")
def nodes(host: Host, call: Call) -> list[dict[str, Any]]:
    row = {key: value for key, value in node_row(host).items() if key != "cgroup-mode"}
    return [row | {"ssl_fingerprint": _fingerprint(host)}]


@route("GET", NODE)
def index(host: Host, call: Call) -> list[dict[str, str]]:
    return [{"name": name} for name in _BELOW]


@route("GET", NODE + "/version")
def node_version(host: Host, call: Call) -> dict[str, str]:
    return {"version": host.release.version, "release": host.release.name, "repoid": REPOID}


@route("GET", NODE + "/status")
def status(host: Host, call: Call) -> dict[str, Any]:
    row, (total, available), kernel = node_row(host), host.storage_bytes(), platform.uname()
    meminfo, system = _meminfo(), f"{kernel.system} {kernel.release} {kernel.version}"
    swap, free = meminfo.get("SwapTotal", 0), meminfo.get("SwapFree", 0)
    return {
        "pveversion": f"pve-manager/{host.release.version}/{REPOID}",
        "kversion": system,
        "current-kernel": {
            "sysname": kernel.system,
            "release": kernel.release,
            "version": kernel.version,
            "machine": kernel.machine,
        },
        "boot-info": {"mode": "efi" if Path("/sys/firmware/efi").exists() else "legacy-bios"},
        "loadavg": [f"{load:.2f}" for load in os.getloadavg()],
        "uptime": row["uptime"],
        "cpu": row["cpu"],
        "idle": 0,
        "wait": 0,
        "memory": _memory_row(host, row, meminfo),
        "swap": {"total": swap, "free": free, "used": swap - free},
        "ksm": {"shared": 0},
        "rootfs": {"total": total, "avail": available, "free": available, "used": total - available},
        "cpuinfo": _cpuinfo(host, row["maxcpu"]),
    }


@route("GET", NODE + "/network", type=Parameter(enum=_INTERFACES))
def network(host: Host, call: Call) -> list[dict[str, Any]]:
    """The bridge that VMs name. No packet goes through it: guests have the computer's own network, or none."""
    bridge = {
        "iface": "vmbr0",
        "type": "bridge",
        "method": "static",
        "method6": "manual",
        "address": "10.77.0.1",
        "netmask": "24",
        "cidr": "10.77.0.1/24",
        "families": ["inet"],
        "bridge_ports": "",
        "bridge_stp": "off",
        "bridge_fd": "0",
        "autostart": 1,
        "active": 1,
        "priority": 3,
    }
    return [bridge] if call.get("type") in {None, "bridge", "any_bridge", "any_local_bridge"} else []


def node_row(host: Host) -> dict[str, Any]:
    """The node as lists show it."""
    name = {"type": "node", "id": f"node/{host.name}", "node": host.name}
    if host.faults.node_down:
        return name | {"status": "offline"}
    total, available = host.storage_bytes()
    memory, free = memory_of_host()
    cores = os.cpu_count() or 1
    return name | {
        "status": "online",
        "level": "",
        "cgroup-mode": 2,
        "cpu": min(1.0, os.getloadavg()[0] / cores),
        "maxcpu": cores,
        "mem": memory - free,
        "maxmem": memory,
        "disk": total - available,
        "maxdisk": total,
        "uptime": int(time.time() - host.started_at),
    }


def _memory_row(host: Host, row: dict[str, Any], meminfo: dict[str, int]) -> dict[str, int]:
    free = row["maxmem"] - row["mem"]
    memory = {"total": row["maxmem"], "used": row["mem"], "free": free}
    return memory | (
        {"available": meminfo.get("MemAvailable", free)} if host.release.tells_host_memory else {}
    )


def _meminfo() -> dict[str, int]:
    """Bytes by name (proc(5)); nothing on a computer without it."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return {}
    return {name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}


def _cpuinfo(host: Host, cores: int) -> dict[str, Any]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        text = ""
    known = {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())
    }
    flags = known.get("flags", "")
    described = {
        "cpus": cores,
        "cores": cores,
        "sockets": 1,
        "model": known.get("model name") or platform.machine(),
        "mhz": known.get("cpu MHz", ""),
        "flags": flags,
        "hvm": "1" if {"vmx", "svm"} & set(flags.split()) else "",
        "user_hz": os.sysconf("SC_CLK_TCK"),
    }
    more = {"family": known.get("cpu family", ""), "vendor": known.get("vendor_id", "")}
    return described | (more if host.release.tells_host_memory else {})


def _fingerprint(host: Host) -> str:
    """Of the certificate; of the node's name when it has none, so that the field is always there."""
    if certificate := host.options.tls_cert:
        der = ssl.PEM_cert_to_DER_cert(Path(certificate).read_text(encoding="ascii"))
    else:
        der = host.name.encode()
    return hashlib.sha256(der).digest().hex(":").upper()
