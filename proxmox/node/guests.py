"""Guests as processes: power on and off, freeze and thaw, and finding them again after the node was restarted.

A guest's first process outlives the node; who it is stands in `run/state.json` beside its socket.
"""

import json
import logging
import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from proxmox.node import agent, boot, processes
from proxmox.node.errors import Failure
from proxmox.node.processes import Process
from proxmox.node.sandbox import Sandbox

TERM_SECONDS = 10  # what a guest's init system gives its services before it kills them
BOOT_LIMIT_SECONDS = 20
ANSWER_SECONDS = 25  # pveproxy gives a call 30 s
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class State:
    """A running guest, as kept on disk."""

    pid: int
    started: str  # tells the process from a later one with the same pid
    booted_at: float
    paused: str = ""  # why it is frozen: paused or io-error
    wedged: bool = False  # the agent has been given what makes it hang until a reset


class Guests:
    """All guests of the node."""

    def __init__(
        self, directory: Path, sandbox: Sandbox, *, boot_seconds: float, agent_seconds: float
    ) -> None:
        self._directory = directory
        self._sandbox = sandbox
        self._boot_seconds = boot_seconds
        self._agent_seconds = agent_seconds
        self._states: dict[int, State] = {}
        self._waiters: dict[int, subprocess.Popen[bytes]] = {}
        self._locks: defaultdict[int, threading.RLock] = defaultdict(threading.RLock)
        self._holds: defaultdict[int, int] = defaultdict(int)  # snapshots that keep a guest still just now
        directory.mkdir(parents=True, exist_ok=True)

    def directory(self, vmid: int) -> Path:
        """Everything that belongs to a guest."""
        return self._directory / str(vmid)

    def disk(self, vmid: int) -> Path:
        """The root of a guest's files."""
        return self.directory(vmid) / "disk"

    # --- power ---

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

    def start(self, vmid: int, name: str) -> None:
        """Power on. Returns once the guest's first process is there. Raises `Failure`."""
        with self._locks[vmid]:
            run = self.directory(vmid) / "run"
            run.mkdir(parents=True, exist_ok=True)
            hostname = boot.prepare(self.disk(vmid), name)
            self._sandbox.prepare(self.disk(vmid))
            with agent.listen(run) as listener:
                spawned = self._sandbox.spawn(self.disk(vmid), hostname, listener, run / "console.log")
            found = processes.find(spawned.pid)
            state = State(spawned.pid, found.started if found else "", time.time())
            self._states[vmid], self._waiters[vmid] = state, spawned.waiter
            self._remember(vmid)
            self._await_init(vmid, run)

    def stop(self, vmid: int) -> None:
        """Power off at once: every process of the guest is killed."""
        with self._locks[vmid]:
            state = self._states.get(vmid)
            if state:
                self._kill(vmid, state)
            self._forget(vmid)

    def shutdown(self, vmid: int, seconds: float, tick: Callable[[], None] = lambda: None) -> bool:
        """Power off the way an init system does: ask every process to end, then insist. False: it is still on.

        `tick` is called while it waits, and may raise.
        """
        state = self._alive(vmid)
        if state is None:
            return True
        processes.send(self._processes(vmid)[1:], signal.SIGTERM)
        deadline = time.monotonic() + min(seconds, TERM_SECONDS)
        while len(self._processes(vmid)) > 1 and time.monotonic() < deadline:
            tick()
            time.sleep(0.02)
        if len(self._processes(vmid)) > 1 and seconds < TERM_SECONDS:
            return False
        self.stop(vmid)
        return True

    # --- freezing ---

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

    # --- agent ---

    def ask(self, vmid: int, do: str, **arguments: Any) -> Any:
        """Ask the guest agent. Raises `Failure` with Proxmox's sentences."""
        state = self._alive(vmid)
        if state is None:
            raise Failure(f"VM {vmid} is not running")
        deadline = time.monotonic() + self._agent_seconds
        boots = state.booted_at + self._boot_seconds - time.time()
        time.sleep(max(0.0, min(boots, self._agent_seconds)))
        try:
            if boots > self._agent_seconds or state.wedged or state.paused:
                time.sleep(max(0.0, deadline - time.monotonic()))
                raise agent.Silent
            limit = self._agent_seconds if do == "ping" else ANSWER_SECONDS
            return agent.ask(self.directory(vmid) / "run", do, seconds=limit, **arguments)
        except agent.Silent:
            raise Failure("QEMU guest agent is not running") from None
        except agent.AgentError as error:
            raise Failure(f"Agent error: {error}") from None

    def wedge(self, vmid: int) -> None:
        """Make the agent hang until the guest is reset."""
        if state := self._alive(vmid):
            state.wedged = True
            self._remember(vmid)

    # --- life and death of the node ---

    def adopt(self) -> None:
        """Find the guests that survived a restart of the node; the others are off, and nothing of them is left."""
        for file in self._directory.glob("*/run/state.json"):
            vmid = int(file.parent.parent.name)
            self._states[vmid] = State(**json.loads(file.read_text(encoding="utf-8")))
            if not self._alive(vmid):
                self.stop(vmid)
            elif not self._states[vmid].paused:
                self._thaw(vmid)  # the node may have died while a snapshot kept the guest still

    def usage(self, among: processes.Table) -> dict[int, tuple[float, int]]:
        """CPU seconds and memory in bytes of every running guest."""
        used = {}
        for vmid in self.running():
            tree = self._processes(vmid, among)
            used[vmid] = (sum(p.cpu_seconds for p in tree), sum(p.memory_bytes for p in tree))
        return used

    def stop_all(self) -> None:
        """Shut every guest down, as a host does that is switched off."""
        threads = [
            threading.Thread(target=self.shutdown, args=(vmid, TERM_SECONDS)) for vmid in self.running()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    # --- details ---

    def _alive(self, vmid: int) -> State | None:
        state = self._states.get(vmid)
        if state is None:
            return None
        if waiter := self._waiters.get(vmid):
            waiter.poll()
        found = processes.find(state.pid)
        return state if found and found.started == state.started else None

    def _await_init(self, vmid: int, run: Path) -> None:
        deadline = time.monotonic() + BOOT_LIMIT_SECONDS
        while self._alive(vmid) and time.monotonic() < deadline:
            try:
                agent.ask(run, "ping", seconds=BOOT_LIMIT_SECONDS)
                return
            except agent.Silent:
                time.sleep(0.01)
        self.stop(vmid)
        logger.warning("Guest %d did not boot: %s", vmid, _text(run / "console.log")[-500:])
        raise Failure("start failed: QEMU exited with code 1")

    def _processes(self, vmid: int, among: processes.Table | None = None) -> list[Process]:
        """The guest's processes, its first one first."""
        state = self._states.get(vmid)
        if state is None:
            return []
        return processes.tree(state.pid, processes.table() if among is None else among)

    def _freeze(self, vmid: int) -> None:
        """Stop every process; the ones that were being made meanwhile are caught in the next round."""
        for _ in range(100):
            moving = [process for process in self._processes(vmid) if process.state != "T"]
            if not moving:
                return
            processes.send(moving, signal.SIGSTOP)
            time.sleep(0.001)

    def _thaw(self, vmid: int) -> None:
        state = self._alive(vmid)
        if state and not state.paused and not self._holds[vmid]:
            processes.send(reversed(self._processes(vmid)), signal.SIGCONT)

    def _kill(self, vmid: int, state: State) -> None:
        """In a sandbox the first process takes its PID namespace with it; without one, each has to be found."""
        if not self._sandbox.active:
            self._kill_below(vmid, state.pid)
        found = processes.find(state.pid)
        if found and found.started == state.started:
            processes.send([found], signal.SIGKILL)
        if waiter := self._waiters.get(vmid):
            waiter.kill()
            waiter.wait()
        processes.gone(state.pid, state.started, seconds=10)

    def _kill_below(self, vmid: int, first: int) -> None:
        """Kill all but the first process, to which everything that loses its parent comes back until it is gone."""
        marker = f"GUEST_ROOT={self.disk(vmid)}"
        for _ in range(100):
            among = processes.table()
            alive = self._processes(vmid, among) + [
                p for p in processes.carrying(marker, among) if p.state != "Z"
            ]
            others = [process for process in alive if process.pid != first]
            if not others:
                return
            processes.send(alive, signal.SIGSTOP)
            processes.send(others, signal.SIGKILL)
            time.sleep(0.005)

    def _remember(self, vmid: int) -> None:
        file = self.directory(vmid) / "run/state.json"
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self._states[vmid])))
        fresh.rename(file)

    def _forget(self, vmid: int) -> None:
        self._states.pop(vmid, None)
        self._waiters.pop(vmid, None)
        for name in ("state.json", agent.SOCKET):
            (self.directory(vmid) / "run" / name).unlink(missing_ok=True)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
