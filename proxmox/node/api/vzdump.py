"""Asking for a backup job: what may be asked, and which VMs it includes (pve-manager: PVE/API2/VZDump.pm)."""

import re
import shlex

from proxmox.node import retention
from proxmox.node.api.backup_job import Job, run
from proxmox.node.api.config import check_pool
from proxmox.node.errors import BadParameters
from proxmox.node.host import Host
from proxmox.node.routes import COUNT, FLAG, TEXT, Call, route
from proxmox.node.schema import Parameter
from proxmox.node.storages import LOCAL

LOCK_WAIT_MINUTES = 180
STOP_WAIT_MINUTES = 10
_NOTES = ("cluster", "guestname", "node", "vmid")

_VZDUMP = {
    "vmid": Parameter(format="pve-vmid-list"),
    "all": FLAG,
    "pool": TEXT,
    "exclude": Parameter(format="pve-vmid-list"),
    "storage": Parameter(format="pve-storage-id"),
    "mode": Parameter(enum=("snapshot", "suspend", "stop")),
    "compress": Parameter(enum=("0", "1", "gzip", "lzo", "zstd")),
    "notes-template": Parameter(max_length=1024, requires="storage"),
    "protected": Parameter("boolean", requires="storage"),
    "remove": FLAG,
    "prune-backups": TEXT,
    "bwlimit": COUNT,
    "ionice": Parameter("integer", minimum=0, maximum=8),
    "lockwait": COUNT,
    "stopwait": COUNT,
    "quiet": FLAG,
    "zstd": Parameter("integer"),
}


@route("POST", "/nodes/{node}/vzdump", **_VZDUMP)
def vzdump(host: Host, call: Call) -> str:
    _check(call)
    vmids = _included(host, call)
    if not vmids and not call.get("all"):
        return "OK"
    keep = retention.parse(call.get("prune-backups", ""))
    job = Job(
        user=call.user,
        vmids=vmids,
        storage=call.get("storage", LOCAL),
        mode=call.get("mode", "snapshot"),
        compress=call.get("compress", "0"),
        keep=keep,
        prunes=bool(call.get("remove", True)) and keep is not retention.KEEP_ALL,
        protected=bool(call.get("protected")),
        notes=call.get("notes-template", ""),
        bytes_per_second=call.get("bwlimit", 0) * 1024,
        ionice=call.get("ionice", 7),
        stop_seconds=call.get("stopwait", STOP_WAIT_MINUTES) * 60,
    )
    wait_seconds = (call.get("lockwait") or LOCK_WAIT_MINUTES) * 60
    line, subject = _command_line(host, call, vmids), str(vmids[0]) if len(vmids) == 1 else ""
    return host.tasks.start(
        "vzdump", subject, call.user, lambda task: run(host, job, line, wait_seconds, task)
    )


def _check(call: Call) -> None:
    """Raises `BadParameters`."""
    for name in ("all", "exclude", "pool"):
        if call.get(name) and call.get("vmid"):
            raise BadParameters({name: "option conflicts with option 'vmid'"})
    _check_notes(call.get("notes-template", ""))
    if not any(call.get(name) for name in ("vmid", "all", "pool", "exclude")):
        raise BadParameters({"vmid": "property is missing"})


def _check_notes(template: str) -> None:
    unknown = [
        f"escape sequence '\\{match[1]}' at char {match.start()}"
        for match in re.finditer(r"\\(.)", template)
        if match[1] not in "n\\"
    ]
    unknown += [
        f"variable '{match[1]}' at char {match.start() + 2}"
        for match in re.finditer(r"\{\{([^\s{}]+)\}\}", template)
        if match[1] not in _NOTES
    ]
    if unknown:
        raise BadParameters({"notes-template": f"found unknown: {', '.join(unknown)}\n"})


def _included(host: Host, call: Call) -> list[int]:
    """The VMs to save. Unknown ones are among them: the job is what fails."""
    if call.get("vmid"):
        return _vmids(call["vmid"])
    if pool := call.get("pool"):
        check_pool(host, pool)
    chosen = host.pools.members(pool) if pool else _permitted(host, call.user)
    return [vmid for vmid in chosen if vmid not in _vmids(call.get("exclude", ""))]


def _permitted(host: Host, who: str) -> list[int]:
    """Of all VMs, those that somebody may back up."""
    return [vmid for vmid in host.configs.all() if host.permissions.allows(who, f"/vms/{vmid}", "VM.Backup")]


def _vmids(text: str) -> list[int]:
    return [int(word) for word in re.split("[,; ]+", text) if word]


def _command_line(host: Host, call: Call, vmids: list[int]) -> str:
    options = call.sent() | {"node": host.name}
    words = ["vzdump", *(str(vmid) for vmid in vmids if call.get("vmid"))]
    for name, value in options.items():
        words += [f"--{name}", str(int(value) if isinstance(value, bool) else value)]
    return shlex.join(words)
