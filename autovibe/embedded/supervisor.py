"""Keep a handful of processes running, restart those that die, and leave none behind.

Each runs in a session of its own, so that Ctrl-C reaches only the supervisor, which then stops them in order.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autovibe.embedded import leftovers
from autovibe.embedded.lifeline import die_with_parent
from autovibe.embedded.logfile import LogFile, last_lines

BACK_OFF_SECONDS = (1, 2, 4, 8, 16, 30)
_HEALTHY_SECONDS = 60.0  # whoever ran this long starts again at the shortest pause
_HOPELESS_FAILURES = 3  # while starting up, nobody is given more chances than these


class SupervisorError(Exception):
    """A process did not do what was needed; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class Program:
    """What to run. `stop_signal` goes to the process; after `grace_seconds`, SIGKILL goes to its whole group."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace_seconds: float = 15.0
    popen_options: Mapping[str, Any] = field(default_factory=dict)


class Supervisor:
    """Starts programs in order and stops them in reverse. `say` tells a person what went wrong."""

    def __init__(self, *, logs: Path, run: Path, say: Callable[[str], None]) -> None:
        self._logs = logs
        self._run = run
        self._say = say
        self._kept: dict[str, _Kept] = {}
        self._hurry = asyncio.Event()

    def start(self, program: Program) -> None:
        """Start `program` and keep it running until `stop`."""
        self._kept[program.name] = kept = _Kept(program)
        kept.keeper = asyncio.create_task(self._keep(kept))

    async def finish(self, program: Program) -> None:
        """Run `program` once, to its end. Raises SupervisorError when that is not a good one."""
        kept = _Kept(program)
        try:
            status = await self._run_once(kept)
        except asyncio.CancelledError:
            await self._end(kept)
            raise
        if status != 0:
            raise SupervisorError(f"{_ended(program.name, status)}\n{last_lines(self.log_of(program.name))}")

    async def until(self, ready: Callable[[], Awaitable[bool]], names: Sequence[str], seconds: float) -> None:
        """Wait until `ready`. Raises SupervisorError when a program of `names` keeps failing, or after `seconds`."""
        deadline = time.monotonic() + seconds
        while not await ready():
            hopeless = [name for name in names if self._kept[name].failures >= _HOPELESS_FAILURES]
            if hopeless or time.monotonic() > deadline:
                raise SupervisorError(self._not_up(hopeless or names))
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """Stop everything, the last started first."""
        for kept in reversed(list(self._kept.values())):
            await self._end(kept)
        self._kept.clear()

    def hurry(self) -> None:
        """Do not wait any longer for processes to end by themselves."""
        self._hurry.set()

    def log_of(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    async def _keep(self, kept: "_Kept") -> None:
        while True:
            began = time.monotonic()
            status = await self._run_once(kept)
            if kept.ending:
                return
            kept.failures = 1 if time.monotonic() - began > _HEALTHY_SECONDS else kept.failures + 1
            pause_seconds = BACK_OFF_SECONDS[min(kept.failures, len(BACK_OFF_SECONDS)) - 1]
            self._say(
                f"{_ended(kept.program.name, status)} Starting it again in {pause_seconds} s; "
                f"see {self.log_of(kept.program.name)}"
            )
            await asyncio.sleep(pause_seconds)

    async def _run_once(self, kept: "_Kept") -> int:
        """Start it, write its log, wait for its end, and clear away what it left of its group."""
        program = kept.program
        log = LogFile(self.log_of(program.name), program.name)
        output, feed = await _pipe()
        try:
            kept.process = process = await asyncio.create_subprocess_exec(
                *program.argv,
                cwd=program.cwd,
                env={**program.env, leftovers.MARK: str(self._run)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=feed,
                stderr=feed,
                start_new_session=True,
                preexec_fn=die_with_parent(program.stop_signal),
                **program.popen_options,
            )
        finally:
            os.close(feed)
        leftovers.record(self._run, program.name, process.pid, program.stop_signal)
        copying = asyncio.create_task(_copy(output, log))
        status = await process.wait()
        leftovers.kill_group(process.pid)
        leftovers.forget(self._run, program.name)
        await asyncio.wait({copying}, timeout=1)  # somebody in another session may still hold the pipe
        copying.cancel()
        log.close()
        return status

    async def _end(self, kept: "_Kept") -> None:
        kept.ending = True
        process = kept.process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(kept.program.stop_signal)
            await self._patience(process, kept.program.grace_seconds)
            leftovers.kill_group(process.pid)
            await process.wait()
            if kept.keeper:
                await asyncio.wait({kept.keeper}, timeout=2)
        if kept.keeper:
            kept.keeper.cancel()

    async def _patience(self, process: asyncio.subprocess.Process, seconds: float) -> None:
        waits = {asyncio.create_task(process.wait()), asyncio.create_task(self._hurry.wait())}
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _not_up(self, names: Sequence[str]) -> str:
        logs = [self.log_of(name) for name in names]
        ends = "\n".join(f"--- {log}\n{last_lines(log)}" for log in logs)
        return f"{' and '.join(names)} did not come up.\n{ends}"


@dataclass
class _Kept:
    program: Program
    process: asyncio.subprocess.Process | None = None
    keeper: asyncio.Task[None] | None = None
    failures: int = 0
    ending: bool = False


async def _pipe() -> tuple[asyncio.StreamReader, int]:
    """A reader, and the descriptor that feeds it.

    Not asyncio's own pipe: `Process.wait` would wait until all who inherited that one have closed it.
    """
    read_end, write_end = os.pipe()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(read_end, "rb"))
    return reader, write_end


async def _copy(output: asyncio.StreamReader, log: LogFile) -> None:
    while chunk := await output.read(64 * 1024):
        log.write(chunk)


def _ended(name: str, status: int) -> str:
    if status < 0:
        return f"{name} was ended by {signal.Signals(-status).name}."
    return f"{name} ended with exit status {status}."
