"""Guests as processes: power on and off, their agents, and finding them again after the node was restarted."""

import json
import logging
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proxmox.node import agent, boot, processes
from proxmox.node.errors import Failure
from proxmox.node.outlets import Outlets
from proxmox.node.running import Running, State
from proxmox.node.sandbox import Sandbox

TERM_SECONDS = 10  # what a guest's init system gives its services before it kills them
BOOT_LIMIT_SECONDS = 20
ANSWER_SECONDS = 25  # pveproxy gives a call 30 s
_WHILE_FROZEN = frozenset(
    ("guest-ping", "guest-info", "guest-sync", "guest-fsfreeze-status", "guest-fsfreeze-thaw")
)
logger = logging.getLogger(__name__)


class Guests(Running):
    """All guests of the node."""

    def __init__(
        self,
        directory: Path,
        sandbox: Sandbox,
        outlets: Outlets,
        *,
        boot_seconds: float,
        agent_seconds: float,
    ) -> None:
        super().__init__(directory, outlets)
        self._sandbox = sandbox
        self._boot_seconds = boot_seconds
        self._agent_seconds = agent_seconds

    # --- power ---

    def start(self, vmid: int, name: str) -> None:
        """Power on. Returns once the guest's first process is there. Raises `Failure`."""
        with self._locks[vmid]:
            run = self.directory(vmid) / "run"
            run.mkdir(parents=True, exist_ok=True)
            hostname = boot.prepare(self.disk(vmid), name)
            self._sandbox.prepare(self.disk(vmid))
            outlets = self._outlets.of(vmid)
            with agent.listen(run) as listener:
                console = run / "console.log"
                spawned = self._sandbox.spawn(self.disk(vmid), hostname, listener, console, outlets)
            found = processes.find(spawned.pid)
            started = found.started if found else ""
            state = State(spawned.pid, started, time.time(), closed=outlets is not None)
            self._states[vmid], self._waiters[vmid] = state, spawned.waiter
            self._remember(vmid)
            self._await_init(vmid, run)
            if state.closed:
                self._outlets.serve(vmid, run)

    def stop(self, vmid: int) -> None:
        """Power off at once: every process of the guest is killed."""
        with self._locks[vmid]:
            state = self._states.get(vmid)
            if state:
                self._kill(vmid, state)
                self._off_since[vmid] = time.monotonic()
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

    # --- agent ---

    def refusal(self, vmid: int, command: str) -> str:
        """Why the agent would refuse a command just now; empty when it would not."""
        if self.files_frozen(vmid) and command not in _WHILE_FROZEN:
            return f"Command {command} has been disabled: the agent is in frozen state"
        return ""

    def ask(self, vmid: int, do: str, *, configured: bool = True, **arguments: Any) -> Any:
        """Ask the guest agent, which is silent unless `configured`. Raises `Failure` with Proxmox's sentences."""
        state = self._alive(vmid)
        if state is None:
            raise Failure(f"VM {vmid} is not running")
        deadline = time.monotonic() + self._agent_seconds
        boots = state.booted_at + self._boot_seconds - time.time()
        time.sleep(max(0.0, min(boots, self._agent_seconds)))
        try:
            if boots > self._agent_seconds or state.wedged or state.paused or not configured:
                time.sleep(max(0.0, deadline - time.monotonic()))
                raise agent.Silent
            limit = self._agent_seconds if do == "ping" else ANSWER_SECONDS
            return agent.ask(self.directory(vmid) / "run", do, seconds=limit, **arguments)
        except agent.Silent:
            raise Failure("QEMU guest agent is not running") from None
        except agent.AgentError as error:
            raise Failure(f"Agent error: {error}") from None

    def console(self, vmid: int) -> int:
        """Open a terminal with a shell in the guest; the descriptor of our end. Raises `Failure`."""
        if self._alive(vmid) is None:
            raise Failure(f"VM {vmid} not running")
        try:
            return agent.console(self.directory(vmid) / "run", seconds=ANSWER_SECONDS)
        except agent.Silent:
            raise Failure(f"VM {vmid} does not answer") from None

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

    def usage(self, among: processes.Table) -> dict[int, processes.Counters]:
        """What every running guest uses, and has used since power-on."""
        return {vmid: processes.used(self._processes(vmid, among)) for vmid in self.running()}

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

    def _forget(self, vmid: int) -> None:
        self._states.pop(vmid, None)
        self._waiters.pop(vmid, None)
        self._outlets.close(vmid)
        for name in ("state.json", agent.SOCKET):
            (self.directory(vmid) / "run" / name).unlink(missing_ok=True)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
