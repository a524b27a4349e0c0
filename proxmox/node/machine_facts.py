"""What QEMU tells of a running VM. There is none here: guests get what holds for them, and zeros for the rest."""

import re
from typing import Any

from proxmox.node.configs import Values

QEMU = "10.0.2"
_PRESSURES = tuple(f"pressure{what}{how}" for what in ("cpu", "io", "memory") for how in ("some", "full"))
_BACKUP = (
    *("backup-access-api", "backup-fleecing", "backup-max-workers", "pbs-dirty-bitmap", "pbs-masterkey"),
    *("pbs-dirty-bitmap-migration", "pbs-dirty-bitmap-savevm", "query-bitmap-info"),
)


def facts(vmid: int, values: Values, memory_bytes: int, machine: str) -> dict[str, Any]:
    """The fields that the status of a running VM has besides those of lists."""
    nets = sorted(key.removeprefix("net") for key in values if re.fullmatch(r"net\d+", key))
    return {
        "running-machine": machine,
        "running-qemu": QEMU,
        "balloon": memory_bytes,
        "ballooninfo": {"actual": memory_bytes, "max_mem": memory_bytes},
        "nics": {f"tap{vmid}i{number}": {"netin": 0, "netout": 0} for number in nets},
        "proxmox-support": {**dict.fromkeys(_BACKUP, False), "pbs-library-version": ""},
    }


def pressures() -> dict[str, int]:
    """How long processes waited for what, in per cent; not measured for guests that share one control group."""
    return dict.fromkeys(_PRESSURES, 0)
