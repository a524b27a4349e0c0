"""Where the embedded node is known to answer otherwise than a real Proxmox VE, and why. One row, one reason.

A row that explains nothing any more fails the tests, so the table stays true.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deviation:
    """`label` and `what` are regular expressions: which steps of a phase, and which of their differences."""

    phase: str  # one, or several with a comma between
    label: str
    what: str
    why: str
    releases: Sequence[str] = ("8.4", "9.2")

    def explains(self, release: str, phase: str, label: str, difference: str) -> bool:
        return (
            release in self.releases
            and phase in self.phase.split(",")
            and re.fullmatch(self.label, label) is not None
            and re.match(self.what, difference) is not None
        )


NO_RAM = "Guests are processes, whose memory cannot be saved."
CLEAN_UP = (
    "The recorded node kept the lock for its clean-up after a restart of the VM; the embedded one does with"
    " `--cleanup-seconds`, which the replay leaves out."
)

DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(
        "power",
        "vncproxy|termproxy",
        "status: 200 OK, not 500 Timeout while waiting for port",
        "The recorded server had no terminal program installed; the embedded node has consoles.",
    ),
    Deviation(
        "permissions",
        "no acl: tasks",
        "data: no rows|total: missing",
        "The recorded token had tasks of an earlier run of the same recording.",
        ("8.4",),
    ),
    Deviation(
        "permissions",
        "no acl: (nodes|cluster resources)",
        r"data\[node\]\.(level|status|cgroup-mode)",
        "The recorded node had not told the cluster its status yet; the embedded one always has.",
        ("9.2",),
    ),
    Deviation(
        "generic",
        "node network",
        r"data\[eth\]",
        "Of the computer's own network only the nominal bridge is shown.",
        ("8.4",),
    ),
    Deviation(
        "delete",
        "resources at end",
        r"data\[node\]\.",
        "The recorded node's statistics were too old by then.",
        ("9.2",),
    ),
    Deviation(
        "agent,live-snapshot,power,backup",
        ".*status.*|list suspended",
        r"data(\[\*\])?\.(blockstat|freemem|ballooninfo\.\w+): missing",
        "There is no QEMU to tell of block devices, and no balloon driver in the guest.",
    ),
    Deviation(
        "live-snapshot",
        r"live snapshot with vmstate/.*|(config|storage content|snapshot config).*vmstate.*"
        r"|rollback to vmstate.*/.*|marker after vmstate rollback|snapshot list( after.*)?|delete ram1/.*"
        r"|vmstate snapshot A/.*|snapshot B concurrently/.*|config after concurrent|delete con[AB]/.*",
        ".*",
        f"{NO_RAM} A snapshot with RAM of a running VM fails; what the recording does with it later differs too.",
    ),
    Deviation(
        "power",
        r"suspend to disk/.*|(config|status) suspended to disk|snapshot while suspended to disk/.*"
        r"|start from disk state/.*",
        ".*",
        f"{NO_RAM} So no VM is suspended to disk.",
    ),
    Deviation(
        "live-snapshot",
        r"rollback to disk-only .*/.*|status after disk-only rollback",
        ".*",
        CLEAN_UP,
        ("9.2",),
    ),
    Deviation(
        "power",
        r"reboot/.*|config memory change on running \(pending\)|pending|config( current)?"
        r"|shutdown forceStop timeout=3 \(guest not up\)/.*|status",
        ".*",
        CLEAN_UP,
        ("9.2",),
    ),
    Deviation("backup", "start/.*", ".*", CLEAN_UP, ("9.2",)),
    Deviation(
        "agent",
        "agent get-host-name|exec (hostname|without path)/exec-status",
        r"data\.(result\.host-name|out-data)",
        "An embedded guest has the name of its VM; the recorded one had the name of its image.",
    ),
    Deviation(
        "agent",
        "exec as which user / cwd / env/exec-status",
        r"data\.out-data",
        "The agent is the guest's first process, not a service that systemd started.",
        ("9.2",),
    ),
    Deviation(
        "agent",
        "agent get-fsinfo",
        r"data\.result\[(ext4|none)\]",
        "A guest's disk is a directory: it has no file system of its own, and no device.",
    ),
    Deviation(
        "agent", "set-user-password", "status", "Nobody logs in to an embedded guest; it has no passwords."
    ),
    Deviation(
        "agent",
        r"agent (ping|exec): agent stopped in guest|shutdown with agent stopped, timeout=5/.*",
        ".*",
        "The agent is the guest's first process and cannot be stopped in the guest.",
    ),
    Deviation(
        "power",
        r"shutdown forceStop timeout=3 \(guest not up\)/log",
        "log: no line 'VM still running",
        "An embedded guest ends when it is asked, even while it boots.",
        ("8.4",),
    ),
    Deviation(
        "backup",
        r"restore to .*/log",
        "log: no line '(total bytes read|space reduction)",
        "An embedded archive has files in it, not blocks.",
    ),
    Deviation(
        "backup",
        "running task log|cancelled vzdump/log",
        "log: no line [\"']INFO: (skipping guest|starting backup via QMP)",
        "The replay slows the job down, and so cancels it, a step earlier.",
    ),
    Deviation(
        "backup",
        r"delete during backup(/.*)?",
        ".*",
        "The recorded VM was off for a moment when it was looked at.",
        ("9.2",),
    ),
)
