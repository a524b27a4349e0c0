"""cloud-init: what a configuration would tell it. Embedded guests read none of it."""

import base64
import hashlib
import re
from typing import Any
from urllib.parse import unquote

from proxmox.node.api.common import VM
from proxmox.node.configs import Values
from proxmox.node.errors import Failure
from proxmox.node.host import Host
from proxmox.node.routes import Call, route
from proxmox.node.schema import Parameter

KEYS = re.compile(
    r"ciuser|cipassword|citype|ciupgrade|cicustom|sshkeys|nameserver|searchdomain|ipconfig\d+|name"
)
_KEY = re.compile(r"(ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp\d+|sk-[\w.@-]+) (\S+)")


@route("GET", VM + "/cloudinit")
def pending(host: Host, call: Call) -> list[dict[str, Any]]:
    values = host.configs.view(call.vmid).values
    return [{"key": key, "value": _shown(key, value)} for key, value in values.items() if KEYS.fullmatch(key)]


@route("PUT", VM + "/cloudinit")
def regenerate(host: Host, call: Call) -> None:
    host.configs.view(call.vmid).check_lock()


@route("GET", VM + "/cloudinit/dump", type=Parameter(optional=False, enum=("user", "network", "meta")))
def dump(host: Host, call: Call) -> str:
    values = host.configs.view(call.vmid).values
    made = {"user": _user, "network": _network, "meta": _meta}
    return made[call["type"]](call.vmid, values)


def check_keys(encoded: str) -> None:
    """Raises `Failure` for what `ssh-keygen -l` would not take as public keys."""
    for line in filter(None, unquote(encoded).splitlines()):
        match = _KEY.match(line.strip())
        if not match or not _is_key(match[1], match[2]):
            raise Failure("SSH public key validation error")


def _is_key(kind: str, encoded: str) -> bool:
    try:
        blob = base64.b64decode(encoded, validate=True)
    except ValueError:
        return False
    return blob[4 : 4 + int.from_bytes(blob[:4])] == kind.encode() and len(blob) > 4 + len(kind)


def _shown(key: str, value: Any) -> Any:
    return "**********" if key == "cipassword" else value


def _user(vmid: int, values: Values) -> str:
    name = str(values.get("name", f"VM{vmid}"))
    lines = [
        "#cloud-config",
        f"hostname: {name.partition('.')[0]}",
        "manage_etc_hosts: true",
        f"fqdn: {name}",
    ]
    if user := values.get("ciuser"):
        lines.append(f"user: {user}")
    if keys := values.get("sshkeys"):
        lines.append("ssh_authorized_keys:")
        lines += [f"  - {key}" for key in unquote(str(keys)).splitlines()]
    lines += ["chpasswd:", "  expire: False"]
    lines += [] if values.get("ciuser") == "root" else ["users:", "  - default"]
    if values.get("ciupgrade", 1):
        lines.append("package_upgrade: true")
    return "\n".join(lines) + "\n"


def _network(vmid: int, values: Values) -> str:
    nets = sorted(key for key in values if re.fullmatch(r"net\d+", key))
    lines = ["version: 1", "config:"]
    for number, key in enumerate(nets):
        mac = str(values[key]).partition("=")[2].partition(",")[0].lower()
        lines += [
            "    - type: physical",
            f"      name: eth{number}",
            f"      mac_address: '{mac}'",
            "      subnets:",
        ]
        config = str(values.get(f"ipconfig{key.removeprefix('net')}", ""))
        lines.append("      - type: dhcp4" if "ip=dhcp" in config else "      - type: manual")
    return "\n".join(lines) + "\n"


def _meta(vmid: int, values: Values) -> str:
    seed = _user(vmid, values) + _network(vmid, values)
    return f"instance-id: {hashlib.sha1(seed.encode(), usedforsecurity=False).hexdigest()}\n"
