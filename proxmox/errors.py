"""What can go wrong at Proxmox, as classes that say what to do next, and the texts that tell them apart.

Proxmox reports nearly everything as HTTP 500 with a sentence in the reason phrase, or as a task's exit status;
the table at the end is the one place that reads those sentences.
"""

import re


class ProxmoxError(Exception):
    """Proxmox could not do it; the message is what it said."""


class Transient(ProxmoxError):
    """Nothing was done; asking again in a while is safe."""


class UnknownOutcome(ProxmoxError):
    """The request left and no answer came: look before asking again."""


class Busy(ProxmoxError):
    """The VM or storage is locked by work that will end; wait."""


class Stuck(ProxmoxError):
    """A lock that no running task holds; an operator has to clear it."""


class Exists(ProxmoxError):
    """It is there already."""


class Missing(ProxmoxError):
    """There is no such VM, snapshot, storage or node."""


class AgentAbsent(ProxmoxError):
    """The guest agent does not answer: not booted yet, not installed, or the VM is off."""


class Capacity(ProxmoxError):
    """Out of space, memory or slots."""


class Unsupported(ProxmoxError):
    """This storage or version cannot do it; plan differently."""


class Refused(ProxmoxError):
    """Proxmox said no, and will again: permission, parameter, or a rule."""


class NotOurs(Refused):
    """The VM does not carry our mark; nothing destructive is done to it."""


# First match wins. Sources: recorded exchanges of PVE 8.4 and 9.2, and the sources of qemu-server and pve-storage.
_TEXTS: list[tuple[str, type[ProxmoxError]]] = [
    (r"can't lock file .* got timeout", Transient),
    (r"cfs-lock .* (got lock request timeout|no quorum)", Transient),
    (r"got no worker upid", Transient),
    (r"cluster not ready|no quorum", Transient),
    (r"unable to connect to VM \d+ (qga|qmp) socket", Transient),
    (r"QEMU guest agent is not running|guest-ping' failed|No QEMU guest agent configured", AgentAbsent),
    (r"^VM \d+ is not running|VM \d+ not running", AgentAbsent),
    (r"(VM|CT) is locked \(", Busy),
    (r"detected modified configuration|unexpected state change", Busy),
    (r"unexpected status|unable to get last line", UnknownOutcome),
    (r"already exists|already used|already running", Exists),
    (r"does not exist|unable to find configuration file|no such ", Missing),
    (r"no space left|not enough free space|insufficient free space|out of space", Capacity),
    (r"cannot allocate memory|max backup limit|unable to get any free vmid", Capacity),
    (r"feature is not supported|is not most recent snapshot|feature is not available", Unsupported),
]
_STATUS: dict[int, type[ProxmoxError]] = {401: Refused, 403: Refused, 400: Refused, 501: Unsupported}


def classify(text: str, status: int | None = None) -> ProxmoxError:
    """The error that `text` (a reason phrase or an exit status) and the HTTP status stand for."""
    if status is not None and 595 <= status <= 599:
        return UnknownOutcome(f"Proxmox answered {status} {text}".strip() + ".")
    for pattern, kind in _TEXTS:
        if re.search(pattern, text, re.IGNORECASE):
            return kind(text)
    return _STATUS.get(status or 0, ProxmoxError)(text)
