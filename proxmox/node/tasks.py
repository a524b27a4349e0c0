"""Tasks: work on a thread of its own, a log on disk, and an exit status that survives the node.

A log without a final `TASK` line belongs to a worker that was killed: its status is "unexpected status".
"""

import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from proxmox.node import upid as upids
from proxmox.node.errors import BadParameters, Failure, Interrupted, WorkerKilled
from proxmox.node.upid import Upid

KEEP = 2000
KILL_SECONDS = 5.0  # from SIGTERM to SIGKILL (pve-common: RESTEnvironment.pm)
UNEXPECTED = "unexpected status"

logger = logging.getLogger(__name__)


class Task:
    """A running task, as its own work sees it."""

    def __init__(self, upid: Upid, log: TextIO) -> None:
        self.upid = upid
        self.warnings = 0
        self.ended = threading.Event()
        self.interruption = (
            "received interrupt"  # what SIGTERM ends it with; some workers have their own words
        )
        self._log = log
        self._cancelled = threading.Event()
        self._dies = ""  # now, at the next checkpoint, or at the end
        self._breaks_off = ""
        self._slow_seconds = 0.0

    def log(self, line: str) -> None:
        """Add a line to the task's log."""
        self._log.write(line + "\n")
        self._log.flush()

    def warn(self, line: str) -> None:
        """Add a warning; the task will end as `WARNINGS: n`."""
        self.warnings += 1
        self.log(f"WARN: {line}")

    def checkpoint(self) -> None:
        """Long work calls this often: it is where a cancelled task stops. Raises `Interrupted`."""
        if self._dies == "checkpoint":
            raise WorkerKilled
        slow, self._slow_seconds = self._slow_seconds, 0.0
        if slow:
            self._cancelled.wait(slow)
        if self._breaks_off:
            raise Failure(self._breaks_off)
        self.check_signals()

    def check_signals(self) -> None:
        """What waits instead of working calls this. Raises `Interrupted`."""
        if self._dies == "now":
            raise WorkerKilled
        if self._cancelled.is_set():
            raise Interrupted(self.interruption)

    def pause(self, seconds: float) -> None:
        """Wait that long. Raises `Interrupted`."""
        self._cancelled.wait(seconds)
        self.check_signals()

    def cancel(self) -> None:
        """Ask the work to stop at its next checkpoint, as SIGTERM does."""
        self._cancelled.set()

    def kill(self) -> None:
        """The work stops where it next looks and cleans nothing up, as after SIGKILL."""
        self._dies = "now"

    def doom(self, *, late: bool = False) -> None:
        """Injected fault: the worker vanishes in the middle of its work, or (`late`) with everything done."""
        self._dies = "end" if late else "checkpoint"

    @property
    def doomed(self) -> bool:
        """Whether it ends as after SIGKILL, whatever it has done."""
        return bool(self._dies)

    def break_off(self, text: str) -> None:
        """Injected fault: the work fails at its next checkpoint."""
        self._breaks_off = text

    def slow_down(self, seconds: float) -> None:
        """Injected fault: the worker takes that much longer at its next checkpoint."""
        self._slow_seconds = seconds


Work = Callable[[Task], None]
_affliction: contextvars.ContextVar[Callable[[Task], None] | None] = contextvars.ContextVar(
    "affliction", default=None
)


@contextlib.contextmanager
def afflicted(affliction: Callable[[Task], None] | None) -> Iterator[None]:
    """Injected fault: something that happens to tasks started in here before their work begins."""
    token = _affliction.set(affliction)
    try:
        yield
    finally:
        _affliction.reset(token)


class Tasks:
    """The registry: what runs now, and what ended."""

    def __init__(self, directory: Path, node: str) -> None:
        self._directory = directory
        self._node = node
        self._lock = threading.Lock()
        self._active: dict[str, Task] = {}
        self._ended: dict[str, tuple[float, str]] = {}  # UPID → when and how, oldest first
        directory.mkdir(parents=True, exist_ok=True)
        self._load()

    def start(self, kind: str, subject: str | int, user: str, work: Work) -> str:
        """Run `work` on a new thread; returns the UPID, whose log is already there."""
        affliction, started, ready = _affliction.get(), list[Task](), threading.Event()

        def run() -> None:
            task = self._register(kind, str(subject), user)
            started.append(task)
            if affliction:
                affliction(task)
            ready.set()
            self._finish(task, _outcome(task, work))

        threading.Thread(target=run, name=f"{kind}-{subject}", daemon=True).start()
        ready.wait()
        return str(started[0].upid)

    def cancel(self, upid: str) -> None:
        """Stop a task and wait for its end; nothing happens to one that has ended.

        A task that does not end in five seconds is killed. Raises `BadParameters` for an unknown one.
        """
        self._known(upid)
        if task := self._active.get(upid):
            task.cancel()
            if not task.ended.wait(KILL_SECONDS):
                task.kill()

    def status(self, upid: str) -> dict[str, Any]:
        """What `GET tasks/{upid}/status` answers."""
        fields = self._known(upid).described()
        if upid in self._active:
            return fields | {"status": "running"}
        return fields | {"status": "stopped", "exitstatus": self._ended[upid][1]}

    def log(self, upid: str, start: int, limit: int) -> tuple[list[dict[str, Any]], int] | None:
        """Lines of a task's log from line `start` on (0: all of them), and how many there are; None: no such log."""
        parsed = _parse(upid)
        try:
            lines = self._path(parsed).read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return None
        end = start + limit if limit else None
        return [{"n": number, "t": line} for number, line in enumerate(lines, 1)][start:end], len(lines)

    def listing(self, source: str) -> list[dict[str, Any]]:
        """Tasks, newest first; `source` is active, archive or all."""
        running = {"status": "RUNNING"}
        with self._lock:
            tasks = self._active.values() if source != "archive" else []
            active = [task.upid.described() | running for task in tasks]
            ended = list(self._ended.items()) if source != "active" else []
        rows = active + [
            parsed.described() | {"endtime": int(when), "status": status}
            for text, (when, status) in ended
            if (parsed := upids.parse(text))
        ]
        return sorted(rows, key=lambda row: row["starttime"], reverse=True)

    def wait(self, seconds: float) -> None:
        """Give running tasks that long to end."""
        deadline = time.monotonic() + seconds
        while self._active and time.monotonic() < deadline:
            time.sleep(0.02)

    # --- what is on disk ---

    def _register(self, kind: str, subject: str, user: str) -> Task:
        upid = upids.of_this_thread(self._node, kind, subject, user)
        path = self._path(upid)
        path.parent.mkdir(exist_ok=True)
        task = Task(upid, path.open("w", encoding="utf-8", errors="backslashreplace"))
        with self._lock:
            self._active[str(upid)] = task
        return task

    def _finish(self, task: Task, status: str) -> None:
        upid, now = str(task.upid), time.time()
        task._log.close()
        with self._lock:
            self._ended[upid] = (now, status)
            del self._active[upid]
            with (self._directory / "index").open("a", encoding="utf-8") as index:
                index.write(f"{upid} {int(now):08X} {status}\n")
        task.ended.set()

    def _load(self) -> None:
        """Read the index; logs that are not in it belong to workers that died with the node."""
        index = self._directory / "index"
        for line in index.read_text(encoding="utf-8").splitlines() if index.exists() else []:
            upid, when, status = line.split(" ", 2)
            self._ended[upid] = (int(when, 16), status)
        for log in self._directory.glob("?/UPID:*"):
            if log.name not in self._ended:
                self._ended[log.name] = (log.stat().st_mtime, _status_in(log))
        self._rotate(index)

    def _rotate(self, index: Path) -> None:
        newest = sorted(self._ended.items(), key=lambda item: item[1][0])[-KEEP:]
        for upid in self._ended.keys() - dict(newest).keys():
            if parsed := upids.parse(upid):
                self._path(parsed).unlink(missing_ok=True)
        self._ended = dict(newest)
        fresh = index.with_suffix(".new")
        fresh.write_text("".join(f"{upid} {int(when):08X} {status}\n" for upid, (when, status) in newest))
        fresh.rename(index)

    def _path(self, upid: Upid) -> Path:
        return self._directory / f"{upid.starttime & 0xF:X}" / str(upid)

    def _known(self, upid: str) -> Upid:
        parsed = _parse(upid)
        if upid not in self._active and upid not in self._ended:
            raise BadParameters({"upid": "no such task"})
        return parsed


def _parse(upid: str) -> Upid:
    parsed = upids.parse(upid)
    if parsed is None:
        raise BadParameters({"upid": "unable to parse worker upid"})
    return parsed


def _outcome(task: Task, work: Work) -> str:
    """Do the work; the exit status, which is also the log's last line."""
    try:
        work(task)
    except WorkerKilled:
        return UNEXPECTED
    except Failure as failure:
        return _failed(task, failure.text)
    except Exception as error:
        logger.exception("Task %s failed in a way that is our fault.", task.upid)
        return _failed(task, f"{type(error).__name__}: {error}")
    if task.doomed:
        return UNEXPECTED
    status = f"WARNINGS: {task.warnings}" if task.warnings else "OK"
    with contextlib.suppress(OSError):
        task.log(f"TASK {status}")
    return status


def _failed(task: Task, text: str) -> str:
    line = " ".join(text.splitlines())
    with contextlib.suppress(OSError):
        task.log(f"TASK ERROR: {line}")
    return line


def _status_in(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    last = lines[-1] if lines else ""
    if last == "TASK OK" or last.startswith("TASK WARNINGS: "):
        return last.removeprefix("TASK ")
    return last.removeprefix("TASK ERROR: ") if last.startswith("TASK ERROR: ") else UNEXPECTED
