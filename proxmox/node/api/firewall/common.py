"""What firewall objects share: digests that tell whether somebody else has written, and parameters."""

import hashlib
from collections.abc import Mapping
from typing import Any

from proxmox.node import firewall_rules
from proxmox.node.api.common import VM
from proxmox.node.errors import Failure
from proxmox.node.routes import TEXT, Call
from proxmox.node.schema import Parameter

FIREWALL = VM + "/firewall"
DIGEST = Parameter(max_length=64)
LEVEL = Parameter(enum=("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "nolog"))
NAME = Parameter(pattern=firewall_rules.NAME, max_length=64)
REQUIRED_NAME = Parameter(optional=False, pattern=firewall_rules.NAME, max_length=64)
EDIT = {"delete": TEXT, "digest": DIGEST}


def with_digest(values: Mapping[str, Any]) -> dict[str, Any]:
    return dict(values) | {"digest": _digest([values])}


def listed(entries: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """The entries, each with the digest of them all; and that digest."""
    digest = _digest(entries)
    return [entry | {"digest": digest} for entry in entries], digest


def _digest(entries: list[Any]) -> str:
    text = "".join(f"{key}:{entry[key]}\n" for entry in entries for key in sorted(entry))
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def check_digest(call: Call, digest: str) -> None:
    if call.get("digest", digest) != digest:
        raise Failure("detected modified configuration - file changed by other user? Try again.")


def names(listed: str) -> list[str]:
    return [name for name in listed.replace(";", ",").replace(" ", ",").split(",") if name]
