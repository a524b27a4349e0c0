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
    """There is no such VM, snapshot, volume, file or node.

    A storage that is missing is `Refused`: the VMs on it are not gone.
    """


class AgentAbsent(ProxmoxError):
    """The guest agent does not answer: not booted yet, not installed, or the VM is off."""


class PoweredOff(AgentAbsent):
    """The VM is off; what ran in it has ended."""


class Capacity(ProxmoxError):
    """Out of space, memory or slots."""


class Damaged(ProxmoxError):
    """What is stored cannot be read any more, or is not what was written; it will not get better."""


class Unsupported(ProxmoxError):
    """This storage or version cannot do it; plan differently."""


class Refused(ProxmoxError):
    """Proxmox said no, and will again: permission, parameter, or a rule."""


class AgentDisabled(Refused):
    """The guest's agent runs, and its distribution has forbidden it what was asked."""


class NotOurs(Refused):
    """The VM does not carry our mark; nothing destructive is done to it."""


# First match wins. Sources: recorded exchanges of PVE 8.4 and 9.2; the sources of qemu-server, pve-storage, pve-common,
# pve-manager and pve-cluster; the tools that storages call, whose wording is matched loosely.
_TEXTS: list[tuple[str, type[ProxmoxError]]] = [
    (r"permission check failed|not available with API token", Refused),
    # Locks on files and in the cluster file system: nothing was done yet.
    (r"can't (lock file|acquire lock) .* got timeout", Transient),
    (r"cfs-lock .* (got lock request timeout|no quorum)", Transient),
    (r"-locked command timed out - aborting", UnknownOutcome),
    (r"failed to obtain guest migration lock", Transient),
    (r"got no worker upid", Transient),
    (r"cluster not ready|no quorum", Transient),
    (r"another backup is already running|timestamp is older than last backup", Transient),
    (r"timeout while waiting for port|temporary failure in name resolution", Transient),
    (r"storage '[^']*' is not online", Transient),
    # Before what its command line might contain: QEMU may have come up a moment later.
    (r"^start failed: command '.*' failed: got timeout", UnknownOutcome),
    # The guest agent. While a backup freezes the guest's file systems it answers as one that is forbidden (qemu-ga).
    (r"has been disabled: the agent is in frozen state", Transient),
    (r"command \S+ has (been disabled|not been found)", AgentDisabled),
    (r"unable to connect to VM \d+ (qga|qmp) socket", Transient),
    (r"QEMU guest agent is not running|guest-ping' failed|No QEMU guest agent configured", AgentAbsent),
    (r"VM \d+ is not running|unable to open monitor socket", PoweredOff),
    (r"VM \d+ q(ga|mp) command '[^']*' failed - got timeout", UnknownOutcome),
    (r"agent error: (invalid parameter 'pid'|pid \S+ does not exist)", UnknownOutcome),
    # Work on the VM.
    (r"(VM|CT) is locked \(", Busy),
    (r"detected modified configuration|checksum mismatch \(file change|unexpected state change", Busy),
    (r"incomplete snapshot", Stuck),
    (r"^unexpected status$|unable to get last line|interrupted by signal|received interrupt", UnknownOutcome),
    (r"already (exists|used|running|defined)|convert a template to a template|refusing to override", Exists),
    # What storages, qemu-img, zstd and vma say of data that has rotted; the last line is the embedded node.
    # Of what is being written nothing is lost yet: the place it goes to is at fault.
    (r"(error|failed) (while )?writing|write (error|failed)", Capacity),
    (r"input/output error|image is corrupt|structure needs cleaning", Damaged),
    (r"chec[hk]sum|decoding error|unable to load chunk|wrong vma", Damaged),
    (r"stored content \S+ |snapshot data '.*' is missing|(manifest|archive) '.*' is damaged", Damaged),
    # Storages that are not there or not meant for it: nothing is gone because of that.
    (r"(storage|bridge) '[^']*' (does not exist|is not available|is not activated|is disabled)", Refused),
    (r"(does not support vm images|not configured for content-type|content type needs to be)", Refused),
    (r"does not exist|unable to find (configuration file|VM)|no such |hostname lookup", Missing),
    (r"no space left|(not enough|insufficient) free space|out of (data )?space|space .*exhausted", Capacity),
    (r"disk quota exceeded|io-error|too many unused volumes", Capacity),
    (r"cannot allocate memory|max backup limit|protected backups per guest is limited", Capacity),
    (r"unable to get any free vmid", Capacity),
    (
        r"feature is not supported|is not most recent snapshot|feature is not available|can't rollback",
        Unsupported,
    ),
    (r"because VM contains snapshots|can't take a snapshot if it's a template", Unsupported),
    (r"can't clone (VM )?to (node|non-shared storage)|can't clone images in", Unsupported),
    (r"live-restore is only compatible|cannot live-migrate, snapshot \(with ram\)", Unsupported),
    (r"requires QEMU machine version|cannot clone TPM state while", Unsupported),
    # Rules.
    (r"only root (can|may)|protection mode enabled|protected volume|not allowed for linked clones", Refused),
    (r"^you can't|reserved name|still in use|is running - destroy failed|VM \d+ not running", Refused),
    (r"no options specified|unable to parse|validation error|shrinking disks is not supported", Refused),
    (r"backup owner check failed|needed by replication job|vm is running|is not empty", Refused),
    (r"KVM virtualisation configured, but not available|unable to remove VM \d+ - used in HA", Refused),
]
_STATUS: dict[int, type[ProxmoxError]] = {
    400: Refused,
    401: Refused,
    403: Refused,
    404: Missing,
    501: Unsupported,
    595: Transient,  # the connection to the node never came about (AnyEvent::HTTP); the request was not sent
}
_LOST = range(596, 600)
_ADVICE: dict[type[ProxmoxError], str] = {
    AgentDisabled: "Allow it in the guest: RHEL, Rocky and Alma list what is forbidden, or allowed, in "
    "/etc/sysconfig/qemu-ga; take guest-exec, guest-exec-status and guest-file-* off that list (or put them on it), "
    "then run: systemctl restart qemu-guest-agent"
}
# What a log may add to a result that says nothing: the last of its lines that is one of these.
_TELLING = (Transient, Busy, Capacity, Damaged, Unsupported, Refused)
_FAILURE_LINE = re.compile(r"(?:TASK )?ERROR: (?:Backup of VM \d+ failed - )?(.+)")


def classify(text: str, status: int | None = None) -> ProxmoxError:
    """The error that `text` (a reason phrase or an exit status) and the HTTP status stand for."""
    if status in _LOST:
        return UnknownOutcome(f"Proxmox answered {status} {text}".strip() + ".")
    for pattern, kind in _TEXTS:
        if re.search(pattern, text, re.IGNORECASE):
            return kind(f"{text} {_ADVICE.get(kind, '')}".strip())
    return _STATUS.get(status or 0, ProxmoxError)(text or f"Proxmox answered {status}.")


def of_task(result: str, log_tail: str = "") -> ProxmoxError:
    """The error that a task's exit status stands for, with what its log says where the status does not.

    A backup always ends as `job errors`, and a start that QEMU refused as `QEMU exited with code 1`; why is in the log.
    """
    error = classify(result)
    if result == "job errors":
        return _of_log(log_tail, ProxmoxError) or error
    if result == "unexpected status":  # killed; or a backup that waited too long for the node's backup lock
        return _of_log(log_tail, Transient) or error
    if type(error) is ProxmoxError:
        return _telling(result, log_tail) or error
    return error


def _of_log(log: str, kind: type[ProxmoxError]) -> ProxmoxError | None:
    """The last failure in the log that is of that kind. The job's own verdict is none."""
    causes = [match[1] for line in log.splitlines() if (match := _FAILURE_LINE.match(line.strip()))]
    found = (classify(cause) for cause in reversed(causes) if cause != "job errors")
    return next((error for error in found if isinstance(error, kind)), None)


def _telling(result: str, log: str) -> ProxmoxError | None:
    for line in reversed(log.splitlines()):
        error = classify(line)
        if isinstance(error, _TELLING):
            return type(error)(f"{result} ({line.strip()})")
    return None
