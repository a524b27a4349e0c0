"""What the rest of autovibe asks of Proxmox: plain values in and out, *submit* apart from *poll*.

A submitting call returns the UPID of the task that Proxmox started, or None when it was done at once; nobody
waits here. All calls raise the classes of `proxmox.errors`. `proxmox.pve` is the one implementation, a module for each
section below.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

# The tag that every VM of ours carries.
MARK = "autovibe"


def tags_of(text: object) -> frozenset[str]:
    """The tags in a VM's configuration, which may be separated by semicolons, commas or spaces (PVE::JSONSchema)."""
    return frozenset(re.split(r"[;,\s]+", str(text or ""))) - {""}


# 61,440 characters of base64 is what file-write takes (pve-manager: Agent.pm, `content` maxLength).
CHUNK_BYTES = 46_080


class Power(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    IO_ERROR = "io-error"  # the storage is full; QEMU froze the guest
    STOPPED = "stopped"
    UNKNOWN = "unknown"  # its node is away, or its statistics have not arrived yet


@dataclass(frozen=True, slots=True)
class VM:
    """Where a VM is. `owner` is what its description must carry before anything destructive is done to it."""

    node: str
    vmid: int
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """A Proxmox task: still running while `result` is empty; then "OK", "WARNINGS: n", or what went wrong."""

    upid: str
    result: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    name: str
    parent: str
    description: str
    complete: bool


@dataclass(frozen=True, slots=True)
class Observed:
    """A VM as the cluster reports it now."""

    node: str
    vmid: int
    name: str
    power: Power
    lock: str = ""
    tags: frozenset[str] = frozenset()
    template: bool = False
    uptime_seconds: int = 0
    cpu: float = 0.0
    memory_bytes: int = 0
    pool: str = ""
    disk_bytes: int = 0  # what its disks may hold
    processors: int = 0  # of which `cpu` is the share in use
    # Counters since power-on.
    disk_read_bytes: int = 0
    disk_written_bytes: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the cluster. `cpu` is the share of its processors in use, 0–1."""

    name: str
    online: bool
    processors: int = 0
    cpu: float = 0.0
    memory_bytes: int = 0
    memory_used_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage as one node has it. `kind` is the plug-in: dir, lvmthin, zfspool, rbd, nfs, pbs, …"""

    name: str
    node: str
    kind: str
    content: frozenset[str]  # images, backup, iso, import, …
    shared: bool = False
    active: bool = True
    total_bytes: int = 0
    available_bytes: int = 0
    chain: bool = False  # `snapshot-as-volume-chain`: snapshots are files of their own


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup of a VM on a storage. `volume` is its volume id, `created_at` a Unix time."""

    volume: str
    vmid: int
    notes: str = ""
    protected: bool = False
    bytes: int = 0
    created_at: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """One firewall rule. `peer` is an address, a network or `+set`; empty: any. `port` empty: any."""

    direction: str  # in or out
    action: str  # ACCEPT, DROP, REJECT
    peer: str = ""
    protocol: str = ""
    port: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a VM's firewall is to let through: the rules in order, then what happens to the rest."""

    incoming: str  # ACCEPT, DROP or REJECT
    outgoing: str
    rules: tuple[Rule, ...] = ()
    sets: Mapping[str, frozenset[str]] = field(default_factory=dict)  # ip sets by name: networks (CIDR)


@dataclass(frozen=True, slots=True)
class Firewall:
    """A VM's firewall as read back. It is in force only when all four switches are on."""

    cluster: bool  # the data centre's switch
    node: bool  # the node's
    vm: bool  # the VM's own
    interfaces: bool  # `firewall=1` on every network device
    policy: Policy


@dataclass(frozen=True, slots=True)
class Sample:
    """What a VM used in the minute (or longer) that ended at `at`, a Unix time. Rates are per second."""

    at: int
    cpu: float
    memory_bytes: int
    disk_read_bytes: float
    disk_written_bytes: float
    received_bytes: float
    sent_bytes: float


@dataclass(frozen=True, slots=True)
class Console:
    """How to open a VM's console: a WebSocket address, what its request must carry, and the first frame to send.

    Proxmox waits 10 s for it, and its ticket is good for 40 s (pve-manager: termproxy).
    """

    url: str
    headers: Mapping[str, str]
    greeting: str
    subprotocol: str = "binary"
    verify_tls: bool | str = True  # the address is checked as the driver checks it
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command in a guest ended. `code` is 128 + signal when it was killed."""

    code: int
    out: bytes = b""
    err: bytes = b""


@dataclass(frozen=True, slots=True)
class Clone:
    """A clone to make. `snapshot` empty: of the template or VM as it is. `full`: a copy, not a linked clone."""

    source: VM
    snapshot: str
    target: VM
    name: str
    description: str
    pool: str
    full: bool = False
    storage: str = ""  # where a full copy goes; empty: where the source is


class Driver(ABC):
    """Each verb is safe to repeat, or says that it was done before by raising `Exists` or `Missing`."""

    # --- cluster ---

    @abstractmethod
    def version(self) -> str:
        """Proxmox's version, e.g. "9.2.11"."""

    @abstractmethod
    def embedded(self) -> bool:
        """Whether this is autovibe's own embedded node, whose guests are processes of its computer."""

    @abstractmethod
    def quorate(self) -> bool:
        """Whether the cluster can decide; one node alone always can."""

    @abstractmethod
    def nodes(self) -> list[Node]:
        """Every node, those that are away included."""

    @abstractmethod
    def permissions(self) -> dict[str, frozenset[str]]:
        """The token's privileges by path, as `/access/permissions` has them."""

    @abstractmethod
    def ensure_pool(self, pool: str) -> None:
        """Create the pool unless it is there."""

    @abstractmethod
    def inventory(self) -> list[Observed]:
        """Every VM that the token may see, from `/cluster/resources`. Those of a node that is away are `UNKNOWN`."""

    @abstractmethod
    def locate(self, vmid: int) -> str:
        """The node that has the VM now, wherever it was moved; "" when none shows it to the token."""

    # --- VMs ---

    @abstractmethod
    def observe(self, vm: VM) -> Observed:
        """One VM, asked directly. Raises `Missing`."""

    @abstractmethod
    def config(self, vm: VM) -> dict[str, str]:
        """The VM's configuration. Raises `Missing`."""

    @abstractmethod
    def configure(self, vm: VM, config: Mapping[str, str | int]) -> None:
        """Set configuration keys; some wait for the next cold start of a running VM (see `pending`)."""

    @abstractmethod
    def pending(self, vm: VM) -> frozenset[str]:
        """Configuration keys whose new value waits for the next cold start."""

    @abstractmethod
    def create(self, vm: VM, config: Mapping[str, str | int]) -> str | None:
        """Make a VM from nothing, or from an image (`scsi0: storage:0,import-from=volume`). Raises `Exists`."""

    @abstractmethod
    def resize(self, vm: VM, disk: str, gib: int) -> str | None:
        """Make a disk that large; Proxmox makes none smaller. Raises `NotOurs`."""

    @abstractmethod
    def make_template(self, vm: VM) -> str | None:
        """Turn a stopped VM without snapshots into a template. Raises `NotOurs`."""

    @abstractmethod
    def supports(self, vm: VM, feature: str, snapshot: str = "") -> bool:
        """Whether the VM's storages can `snapshot`, `clone` (linked) or `copy` (full), from that snapshot."""

    @abstractmethod
    def clone(self, clone: Clone) -> str | None:
        """Start to make the clone. Raises `Exists` when the VMID is taken."""

    # --- power ---

    @abstractmethod
    def start(self, vm: VM) -> str | None:
        """Power on."""

    @abstractmethod
    def stop(self, vm: VM) -> str | None:
        """Power off at once, whatever runs in it."""

    @abstractmethod
    def suspend(self, vm: VM) -> str | None:
        """Freeze the guest where it is, in memory."""

    @abstractmethod
    def resume(self, vm: VM) -> str | None:
        """Let a frozen guest go on."""

    @abstractmethod
    def shut_down(self, vm: VM, seconds: int) -> str | None:
        """Ask the guest to power off, and insist after `seconds`. Raises `NotOurs`."""

    @abstractmethod
    def destroy(self, vm: VM) -> str | None:
        """Remove the VM, its disks and snapshots. Raises `NotOurs` or `Missing`."""

    # --- snapshots ---

    @abstractmethod
    def snapshots(self, vm: VM) -> list[Snapshot]:
        """The VM's snapshots, without the pseudo entry `current`."""

    @abstractmethod
    def snapshot(self, vm: VM, name: str, description: str, *, ram: bool = False) -> str | None:
        """Take a snapshot of the disks; with `ram`, of a running VM's memory, too. Raises `NotOurs`."""

    @abstractmethod
    def rollback(self, vm: VM, name: str) -> str | None:
        """Put disks and configuration back. The VM is stopped afterwards; with its memory, if that is in the snapshot,
        it runs. Raises `NotOurs`."""

    @abstractmethod
    def delete_snapshot(self, vm: VM, name: str) -> str | None:
        """Forget a snapshot. Raises `NotOurs`; of one that is gone, `Missing` (here or as the task's end)."""

    # --- storages, images, backups ---

    @abstractmethod
    def storages(self) -> list[Storage]:
        """Every storage on every node that is online."""

    @abstractmethod
    def volumes(self, node: str, storage: str, content: str) -> list[str]:
        """Volume ids of one kind of content: iso, import, …"""

    @abstractmethod
    def download(
        self, node: str, storage: str, url: str, name: str, *, content: str, sha512: str = ""
    ) -> str | None:
        """Have the node fetch an image (`content`: import or iso) from an address."""

    @abstractmethod
    def upload(self, node: str, storage: str, name: str, image: bytes) -> str | None:
        """Put an ISO image on a storage, replacing one of that name."""

    @abstractmethod
    def delete_volume(self, node: str, volume: str) -> str | None:
        """Remove an image or a backup; one that is gone is success."""

    @abstractmethod
    def back_up(self, vm: VM, storage: str, notes: str) -> str | None:
        """Write the VM's present disks and configuration to a backup storage; nothing is pruned. Raises `NotOurs`,
        or `Missing` when the VM is not on its node."""

    @abstractmethod
    def backups(self, node: str, storage: str, vmid: int | None = None) -> list[Backup]:
        """Backups on a storage."""

    @abstractmethod
    def annotate_backup(self, node: str, volume: str, *, notes: str, protected: bool) -> None:
        """Set a backup's notes, and whether it is safe from pruning."""

    @abstractmethod
    def restore(
        self, archive: str, target: VM, *, name: str, description: str, pool: str, storage: str = ""
    ) -> str | None:
        """Make a new VM from a backup, with a new identity. Raises `Exists`. A failed one leaves half a VM."""

    # --- tasks ---

    @abstractmethod
    def tasks(self, upids: Sequence[str]) -> list[Task]:
        """How those tasks stand; a task that Proxmox no longer knows has the result "unexpected status"."""

    @abstractmethod
    def find_task(self, node: str, kind: str, vmid: int, since: float) -> str:
        """The UPID of our latest task of that kind (`qmclone`, `qmsnapshot`, …) on a VM since a Unix time, or ""."""

    @abstractmethod
    def running_task(self, vm: VM, lock: str = "") -> str:
        """The UPID of a task that is at work on the VM now, or "". Another user's is seen with `Sys.Audit` only.

        `lock`: what the VM is locked for; then also of tasks that may hold such a lock under another VM's number.
        """

    @abstractmethod
    def sees_all_tasks(self, node: str) -> bool:
        """Whether the token may see the tasks of other users there."""

    @abstractmethod
    def task_log(self, upid: str) -> str:
        """The last lines of a task's log."""

    # --- firewall, metrics, console ---

    @abstractmethod
    def firewall(self, vm: VM) -> Firewall:
        """The VM's firewall as it stands."""

    @abstractmethod
    def protect(self, vm: VM, policy: Policy) -> None:
        """Make the VM's firewall be `policy`, and switch it on for the VM and its network devices. Raises `NotOurs`."""

    @abstractmethod
    def history(self, vm: VM, timeframe: str = "hour") -> list[Sample]:
        """What the VM used over the last hour, day, week, month or year, oldest first; gaps are left out."""

    @abstractmethod
    def console(self, vm: VM) -> Console:
        """A new console of the VM's serial line. Raises `NotOurs`."""

    # --- guest agent ---

    @abstractmethod
    def agent_answers(self, vm: VM) -> bool:
        """Whether the guest agent can be talked to."""

    @abstractmethod
    def run(self, vm: VM, script: str, *arguments: str, seconds: float = 30) -> Ran:
        """Run a short `/bin/sh` script as root in the guest and wait for it. Absolute guest paths in it are
        written `"${GUEST_ROOT:-}/…"`. Raises `UnknownOutcome` when it does not end in time."""

    @abstractmethod
    def write(self, vm: VM, path: str, content: bytes) -> None:
        """Write a file of at most `CHUNK_BYTES` in the guest, replacing it."""

    @abstractmethod
    def read(self, vm: VM, path: str) -> bytes:
        """Read a file of at most 16 MiB from the guest."""

    @abstractmethod
    def put(self, vm: VM, path: str, content: bytes, *, mode: int = 0o644, owner: str = "root:root") -> None:
        """Write a file of any size in the guest, whole or not at all, making its directory."""
