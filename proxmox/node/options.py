"""What the node is started with, and the command line that says it."""

import argparse
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from proxmox.node.storages import chosen

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of one node. Times are in seconds."""

    state: Path
    host: str = "127.0.0.1"
    port: int = 8006
    token: str = ""  # user@realm!name=secret; empty: the one in STATE/token, which is made when missing
    node_name: str = "embedded"
    release: str = "9.2"
    root_password: str = ""  # empty: root@pam cannot log in
    storage_type: str = "lvmthin"
    storage: tuple[str, ...] = ()  # NAME=KIND each; empty: one of `storage_type`
    staleness_seconds: float = 0.0
    disk_gib: int = 4
    free_gib: int = 0  # 0: what the file system of `state` has
    sandbox: bool = True
    host_path: tuple[Path, ...] = ()
    tls_cert: str = ""
    tls_key: str = ""
    boot_seconds: float = 0.2
    lock_seconds: float = 10.0
    storage_lock_seconds: float = 10.0
    alloc_seconds: float = 0.0
    cleanup_seconds: float = 0.0
    max_protected: int = -1
    agent_seconds: float = 3.0
    auth_delay_seconds: float = 3.0
    console_seconds: float = 10.0
    metrics_seconds: int = 60
    sweep_seconds: float = 5.0
    disk_check_seconds: float = 3.0
    fsync: bool = False
    faults: bool = False
    keep_guests: bool = False
    unlock: tuple[int, ...] = ()


class _Storages(argparse.Action):
    """Storages one by one; what they cannot mean together is a mistake on the command line."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        value: Any,
        option: str | None = None,
    ) -> None:
        storages = (*getattr(namespace, self.dest), value)
        try:
            chosen(storages, "")
        except ValueError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        setattr(namespace, self.dest, storages)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare every option on `parser`; both ways to start the node use this."""
    add = parser.add_argument
    add("--state", type=Path, default=Path("var/node"), help="directory of guests, snapshots, tasks, backups")
    add("--host", default="127.0.0.1", help="address to listen on; keep it on the loopback interface")
    add("--port", type=int, default=8006, help="0 picks a free port and prints it")
    add(
        "--token",
        default="",
        help="user@realm!name=secret that clients must send; default: kept in STATE/token",
    )
    add("--node-name", default="embedded")
    add(
        "--storage-type",
        choices=("lvmthin", "qcow2", "qcow2-chain", "zfs"),
        default="lvmthin",
        help="which storage to behave like",
    )
    add(
        "--storage",
        action=_Storages,
        default=(),
        metavar="[NAME=]KIND",
        help="a storage of that behaviour, repeatable; NAME defaults to the usual one; instead of --storage-type",
    )
    add("--release", choices=("8.4", "9.2"), default="9.2", help="the Proxmox VE whose answers to give")
    add("--root-password", default="", help="lets root@pam log in with it, for tickets")
    add(
        "--staleness-seconds",
        type=float,
        default=0.0,
        help="how old /cluster/resources may be; 10 on a real Proxmox VE",
    )
    add("--disk-gib", type=int, default=4, help="disk size of the template")
    add(
        "--free-gib",
        type=int,
        default=0,
        help="free space that the storages report; default: what the file system of --state has",
    )
    add("--no-sandbox", dest="sandbox", action="store_false", help="run guests as plain processes")
    add(
        "--host-path",
        type=Path,
        action="append",
        default=[],
        help="host directory that guests see, read-only",
    )
    add("--tls-cert", default="")
    add("--tls-key", default="")
    add("--boot-seconds", type=float, default=0.2, help="from power-on until the guest agent answers")
    add("--lock-seconds", type=float, default=10.0, help="how long to wait for a VM's configuration lock")
    add("--storage-lock-seconds", type=float, default=10.0, help="how long to wait for a storage's lock")
    add("--alloc-seconds", type=float, default=0.0, help="how long the storage is locked per volume made")
    add(
        "--cleanup-seconds",
        type=float,
        default=0.0,
        help="how long a VM that was stopped and started again stays locked, as on Proxmox VE 9; 0: not at all",
    )
    add("--max-protected", type=int, default=-1, help="protected backups per VM; -1: as Proxmox VE has it")
    add("--agent-seconds", type=float, default=3.0, help="how long to wait for a guest agent")
    add("--auth-delay-seconds", type=float, default=3.0, help="how late a wrong token is answered")
    add(
        "--console-seconds", type=float, default=10.0, help="how long an offered console waits for its client"
    )
    add("--metrics-seconds", type=int, default=60, help="the shortest period of rrddata")
    add("--sweep-seconds", type=float, default=5.0, help="from a deletion until unused contents are swept")
    add("--disk-check-seconds", type=float, default=3.0, help="at most this often is a guest's disk measured")
    add("--fsync", action="store_true", help="survive power loss, not only crashes, at the cost of speed")
    add("--faults", action="store_true", help="accept fault injection at /fault")
    add(
        "--unlock",
        type=int,
        action="append",
        default=[],
        metavar="VMID",
        help="at start, remove this VM's lock",
    )
    add("--keep-guests", action="store_true", help="leave guests running when the node is stopped")


def from_arguments(arguments: dict[str, Any]) -> Options:
    """Options from parsed arguments; other keys are ignored."""
    known = {field.name: arguments[field.name] for field in fields(Options) if field.name in arguments}
    known["host_path"] = tuple(Path(path).resolve() for path in known.get("host_path", ()))
    known["storage"] = tuple(known.get("storage", ()))
    known["unlock"] = tuple(known.get("unlock", ()))
    known["state"] = Path(known["state"]).resolve()
    return Options(**known)
