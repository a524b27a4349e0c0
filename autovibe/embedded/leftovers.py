"""What a killed supervisor left running: its pid files tell, a mark in each process's environment proves it.

A pid on its own proves nothing: after a reboot it is somebody else's.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

MARK = "AUTOVIBE_SUPERVISED_IN"
_PATIENCE_SECONDS = 15.0


def record(run: Path, name: str, group: int, stop_signal: signal.Signals) -> None:
    """Note that process group `group` is ours, and how its leader likes to be stopped."""
    run.mkdir(parents=True, exist_ok=True)
    (run / f"{name}.pid").write_text(f"{group} {int(stop_signal)}\n")


def forget(run: Path, name: str) -> None:
    (run / f"{name}.pid").unlink(missing_ok=True)


def end(run: Path) -> list[str]:
    """End every recorded group that still lives, its leader politely. Returns the names of those found."""
    found = []
    for path in sorted(run.glob("*.pid")):
        group, stop_signal = _read(path)
        if any(members(group, run)):
            found.append(path.stem)
            _end(group, stop_signal, run)
        path.unlink()
    return found


def members(group: int, run: Path) -> Iterator[psutil.Process]:
    """The living processes of a process group that carry our mark."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.environ().get(MARK) == str(run):
                yield process


def kill_group(group: int) -> None:
    """SIGKILL whatever is left of a process group of ours whose leader we have just seen end."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _read(path: Path) -> tuple[int, signal.Signals]:
    try:
        group, number = path.read_text().split()
        return int(group), signal.Signals(int(number))
    except ValueError:  # written while the machine went down
        return 0, signal.SIGTERM


def _end(group: int, stop_signal: signal.Signals, run: Path) -> None:
    for leader in (process for process in members(group, run) if process.pid == group):
        leader.send_signal(stop_signal)
        with contextlib.suppress(psutil.TimeoutExpired):
            leader.wait(_PATIENCE_SECONDS)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while remaining := list(members(group, run)):
        for process in remaining:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)
