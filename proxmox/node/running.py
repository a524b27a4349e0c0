"""Guests that are on: who they are, as kept on disk, and how they are kept still.

A guest's first process outlives the node; who it is stands in `run/state.json` beside its socket. How a guest comes
to be on and off is in `guests`.
"""

import json
import math
import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from proxmox.node import processes
from proxmox.node.outlets import Outlets
from proxmox.node.processes import Process

_FIRST_GOES_ON = 1  # of a guest's processes; the agent is its first one


@dataclass(slots=True)
class State:
    """A running guest, as kept on disk."""

    pid: int
    started: str  # tells the process from a later one with the same pid
    booted_at: float
    paused: str = ""  # why it is frozen: paused or io-error
    wedged: bool = False  # the agent has been given what makes it hang until a reset
    frozen: bool = False  # its agent keeps everything still that could write to a disk
    closed: bool = False  # its network is its own


class Running:
    """What is known of every guest that is on."""

    def __init__(self, directory: Path, outlets: Outlets) -> None:
        self._directory = directory
        self._outlets = outlets
        self._states: dict[int, State] = {}
        self._waiters: dict[int, subprocess.Popen[bytes]] = {}
        self._locks: defaultdict[int, threading.RLock] = defaultdict(threading.RLock)
        self._off_since: dict[int, float] = {}
        self._holds: defaultdict[int, int] = defaultdict(int)  # snapshots that keep a guest still just now
        directory.mkdir(parents=True, exist_ok=True)

    def directory(self, vmid: int) -> Path:
        """Everything that belongs to a guest."""
        return self._directory / str(vmid)

    def disk(self, vmid: int) -> Path:
        """The root of a guest's files."""
        return self.directory(vmid) / "disk"

    def power(self, vmid: int) -> str:
        """stopped, running, paused or io-error: what QEMU would answer."""
        state = self._alive(vmid)
        return (state.paused or "running") if state else "stopped"

    def running(self) -> list[int]:
        """Guests that are on, frozen ones included."""
        return [vmid for vmid in list(self._states) if self._alive(vmid)]

    def uptime(self, vmid: int) -> float:
        """Seconds since power-on; 0 when off."""
        state = self._alive(vmid)
        return max(0.0, time.time() - state.booted_at) if state else 0.0

    def pid(self, vmid: int) -> int:
        """The guest's first process; 0 when off."""
        state = self._alive(vmid)
        return state.pid if state else 0

    def off_seconds(self, vmid: int) -> float:
        """How long ago the guest went off, as far as this process knows; infinite when it never did."""
        return time.monotonic() - self._off_since.get(vmid, -math.inf)

    # --- keeping still ---

    def pause(self, vmid: int, why: str) -> None:
        """Freeze the guest until it is resumed; `why` is what QEMU would call it."""
        with self._locks[vmid]:
            if state := self._alive(vmid):
                state.paused = why
                self._remember(vmid)
                self._freeze(vmid)

    def resume(self, vmid: int) -> None:
        """Let a frozen guest go on."""
        with self._locks[vmid]:
            if state := self._alive(vmid):
                state.paused = ""
                self._remember(vmid)
                self._thaw(vmid)

    @contextmanager
    def still(self, vmid: int) -> Iterator[None]:
        """Keep the guest from changing its disk, so that what is read is one instant's. Costs nothing when off."""
        with self._locks[vmid]:
            self._holds[vmid] += 1
            if self._alive(vmid):
                self._freeze(vmid)
        try:
            yield
        finally:
            with self._locks[vmid]:
                self._holds[vmid] -= 1
                self._thaw(vmid)

    def freeze_files(self, vmid: int) -> int:
        """Let nothing but the agent go on until `thaw_files`; how many file systems that froze."""
        with self._locks[vmid]:
            if state := self._alive(vmid):
                state.frozen = True
                self._remember(vmid)
                self._freeze(vmid, _FIRST_GOES_ON)
        return 1

    def thaw_files(self, vmid: int) -> int:
        """Undo `freeze_files`; how many file systems that thawed."""
        with self._locks[vmid]:
            state = self._alive(vmid)
            if state is None or not state.frozen:
                return 0
            state.frozen = False
            self._remember(vmid)
            self._thaw(vmid)
        return 1

    def files_frozen(self, vmid: int) -> bool:
        state = self._alive(vmid)
        return state is not None and state.frozen

    # --- details ---

    def _alive(self, vmid: int) -> State | None:
        state = self._states.get(vmid)
        if state is None:
            return None
        if waiter := self._waiters.get(vmid):
            waiter.poll()
        found = processes.find(state.pid)
        return state if found and found.started == state.started else None

    def _processes(self, vmid: int, among: processes.Table | None = None) -> list[Process]:
        """The guest's processes, its first one first."""
        state = self._states.get(vmid)
        if state is None:
            return []
        return processes.tree(state.pid, processes.table() if among is None else among)

    def _freeze(self, vmid: int, spared: int = 0) -> None:
        """Stop every process but the first `spared`; those being made meanwhile are caught in the next round."""
        for _ in range(100):
            moving = [process for process in self._processes(vmid)[spared:] if process.state != "T"]
            if not moving:
                return
            processes.send(moving, signal.SIGSTOP)
            time.sleep(0.001)

    def _thaw(self, vmid: int) -> None:
        state = self._alive(vmid)
        if state and not state.paused and not self._holds[vmid]:
            going = self._processes(vmid)[: _FIRST_GOES_ON if state.frozen else None]
            processes.send(reversed(going), signal.SIGCONT)
            if state.closed:  # a node that was started meanwhile does not have its sockets yet
                self._outlets.serve(vmid, self.directory(vmid) / "run")

    def _remember(self, vmid: int) -> None:
        file = self.directory(vmid) / "run/state.json"
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self._states[vmid])))
        fresh.rename(file)
