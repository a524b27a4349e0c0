"""What makes one VM different from its clone."""

import re
import secrets
import uuid

from proxmox.node.configs import Values

_MAC = re.compile(r"^(\w+)(?:=[0-9A-Fa-f:]{17})?")
PREFIX = "BC:24:11"  # Proxmox's own block of addresses


def mac_address() -> str:
    """A fresh MAC address."""
    return ":".join((PREFIX, *(f"{byte:02X}" for byte in secrets.token_bytes(3))))


def new_uuid() -> str:
    return str(uuid.uuid4())


def with_mac(net: str) -> str:
    """A network device's text with a fresh MAC address."""
    return _MAC.sub(lambda match: f"{match[1]}={mac_address()}", net, count=1)


def renew(values: Values) -> None:
    """Give a configuration new MAC addresses, a new SMBIOS UUID and a new generation id, as a clone gets."""
    for key in values:
        if re.fullmatch(r"net\d+", key):
            values[key] = with_mac(str(values[key]))
    others = [
        part for part in str(values.get("smbios1", "")).split(",") if part and not part.startswith("uuid=")
    ]
    values["smbios1"] = ",".join((f"uuid={new_uuid()}", *others))
    if "vmgenid" in values:
        values["vmgenid"] = new_uuid()
