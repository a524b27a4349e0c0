"""What the rest of autovibe asks of Proxmox: plain values in and out, *submit* apart from *poll*.

A submitting call returns the UPID of the task that Proxmox started, or None when it was done at once; nobody
waits here. All calls raise the classes of `proxmox.errors`. `proxmox.pve` is the one implementation.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


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


class Driver(ABC):
    """About a dozen verbs; each is safe to repeat or says so by raising `Exists` or `Missing`."""

    @abstractmethod
    def version(self) -> str:
        """Proxmox's version, e.g. "9.2.11"."""

    @abstractmethod
    def ensure_pool(self, pool: str) -> None:
        """Create the pool unless it is there."""

    @abstractmethod
    def inventory(self) -> list[Observed]:
        """Every VM that the token may see, from `/cluster/resources`."""

    @abstractmethod
    def observe(self, vm: VM) -> Observed:
        """One VM, asked directly. Raises `Missing`."""

    @abstractmethod
    def config(self, vm: VM) -> dict[str, str]:
        """The VM's configuration. Raises `Missing`."""

    @abstractmethod
    def configure(self, vm: VM, config: Mapping[str, str | int]) -> None:
        """Set configuration keys."""

    @abstractmethod
    def supports(self, vm: VM, feature: str, snapshot: str = "") -> bool:
        """Whether the VM's storages can `snapshot`, `clone` (linked) or `copy` (full), from that snapshot."""

    @abstractmethod
    def clone(self, clone: Clone) -> str | None:
        """Start to make the clone. Raises `Exists` when the VMID is taken."""

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
    def destroy(self, vm: VM) -> str | None:
        """Remove the VM, its disks and snapshots. Raises `NotOurs` or `Missing`."""

    @abstractmethod
    def snapshots(self, vm: VM) -> list[Snapshot]:
        """The VM's snapshots, without the pseudo entry `current`."""

    @abstractmethod
    def snapshot(self, vm: VM, name: str, description: str) -> str | None:
        """Take a snapshot of the disks. Raises `NotOurs`."""

    @abstractmethod
    def rollback(self, vm: VM, name: str) -> str | None:
        """Put disks and configuration back; the VM is stopped afterwards. Raises `NotOurs`."""

    @abstractmethod
    def tasks(self, upids: Sequence[str]) -> list[Task]:
        """How those tasks stand; a task that Proxmox no longer knows has the result "unexpected status"."""

    @abstractmethod
    def find_task(self, node: str, kind: str, vmid: int, since: float) -> str:
        """The UPID of our latest task of that kind (`qmclone`, `qmsnapshot`, …) on a VM since a Unix time, or ""."""

    @abstractmethod
    def task_log(self, upid: str) -> str:
        """The last lines of a task's log."""

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


# 61,440 characters of base64 is what file-write takes (pve-manager: Agent.pm, `content` maxLength).
CHUNK_BYTES = 46_080
