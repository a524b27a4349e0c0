"""The processes of this computer: who is whose child, what they use, and how to freeze and end a whole tree.

Reads /proc; where there is none (macOS), asks ps, and knows less.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc/self/stat").exists()


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    state: str  # one letter; T is stopped, Z is dead
    cpu_seconds: float  # its own and that of children it has waited for
    memory_bytes: int
    started: str  # with the pid: who it is, whatever becomes of the pid later


Table = dict[int, Process]


@dataclass(frozen=True, slots=True)
class Counters:
    """What a tree of processes uses and has used so far; bytes of disks are known on Linux only."""

    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    disk_read_bytes: int = 0
    disk_written_bytes: int = 0


def table() -> Table:
    """Every process there is now."""
    return _from_proc() if _PROC else _from_ps()


def find(pid: int) -> Process | None:
    """One process, unless it is gone or dead."""
    found = _read_stat(pid) if _PROC else _from_ps().get(pid)
    return found if found and found.state != "Z" else None


def tree(root: int, among: Table) -> list[Process]:
    """`root` and everything below it that is alive, parents first."""
    children: dict[int, list[Process]] = {}
    for process in among.values():
        children.setdefault(process.parent, []).append(process)
    found = [among[root]] if root in among else []
    for process in found:  # grows while it is walked
        found.extend(children.get(process.pid, ()))
    return [process for process in found if process.state != "Z"]


def used(processes: Iterable[Process]) -> Counters:
    """What these processes use together. Who has ended counts with the parent that waited for it."""
    tree = list(processes)
    moved = [_disk_bytes(process.pid) for process in tree]
    return Counters(
        sum(process.cpu_seconds for process in tree),
        sum(process.memory_bytes for process in tree),
        sum(read for read, _ in moved),
        sum(written for _, written in moved),
    )


def carrying(variable: str, among: Table) -> list[Process]:
    """Processes whose environment has `NAME=value`, wherever in the tree they are; none where there is no /proc."""
    marker = os.fsencode(variable)
    return [process for process in among.values() if marker in _environment(process.pid)]


def send(processes: Iterable[Process], number: signal.Signals) -> None:
    """Signal processes; those that have gone meanwhile are not missed."""
    for process in processes:
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            continue


def gone(pid: int, started: str, seconds: float) -> bool:
    """Wait until that process is gone; False when it is still there after `seconds`."""
    deadline = time.monotonic() + seconds
    while (process := find(pid)) and process.started == started:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _from_proc() -> Table:
    pids = (int(name) for name in os.listdir("/proc") if name.isdecimal())
    return {pid: process for pid in pids if (process := _read_stat(pid))}


def _read_stat(pid: int) -> Process | None:
    """See proc(5): the fields after the name, which may itself contain spaces and parentheses."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    cpu = sum(int(field) for field in fields[11:15]) / _TICKS
    state, parent, started = fields[0].decode(), int(fields[1]), fields[19].decode()
    return Process(pid, parent, state, cpu, int(fields[21]) * _PAGE, started)


def _disk_bytes(pid: int) -> tuple[int, int]:
    """Bytes read from and written to disks (proc(5): io); zeros where that is not told."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0, 0
    fields = dict(line.split(": ", 1) for line in lines)
    return int(fields["read_bytes"]), int(fields["write_bytes"])


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _from_ps() -> Table:
    command = ["ps", "-axo", "pid=,ppid=,stat=,rss=,lstart="]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split(None, 4) for line in lines]
    return {
        int(pid): Process(int(pid), int(parent), state[0], 0.0, int(rss) * 1024, started)
        for pid, parent, state, rss, started in rows
    }
