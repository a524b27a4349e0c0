"""What a 403 about a VM means: to a token with rights on a pool only, a VM that is not there is forbidden too.

So is one that is being made: it joins its pool as the last thing that its task does (qemu-server: Qemu.pm).
"""

import re
from collections.abc import Callable
from typing import Any

from proxmox import errors

_MAKING = ("qmclone", "qmrestore", "qmcreate")
_PATH = re.compile(r"nodes/([^/]+)/qemu/(\d+)(?:/|$)")

Get = Callable[..., Any]


class Forbidden(errors.Refused):
    """Proxmox answered 403."""


def meaning(get: Get, path: str, refusal: Forbidden) -> errors.ProxmoxError:
    """`Missing`, `Busy`, or the refusal itself, of a request to `path`. `get` asks further."""
    match = _PATH.match(path)
    if not match or f"(/vms/{match[2]}," not in str(refusal):
        return refusal
    node, vmid = match[1], int(match[2])
    if _visible(get, vmid):
        return refusal
    if not _taken(get, vmid):
        return errors.Missing(f"There is no VM {vmid}.")
    if _being_made(get, node):
        return errors.Busy(f"VM {vmid} is being made, and joins its pool at the end. ({refusal})")
    return refusal


def _visible(get: Get, vmid: int) -> bool:
    return any(int(row.get("vmid") or 0) == vmid for row in get("cluster/resources", type="vm"))


def _taken(get: Get, vmid: int) -> bool:
    """Whether a VM has the number. Everybody may ask that."""
    try:
        get("cluster/nextid", vmid=vmid)
    except errors.Exists:
        return True
    return False


def _being_made(get: Get, node: str) -> bool:
    rows = get(f"nodes/{node}/tasks", source="active")
    return any(row["type"] in _MAKING and not row.get("endtime") for row in rows)
