#!/usr/bin/env python3
"""The runner: what we do inside a guest, in one file that needs nothing but Python 3.9 or later.

It writes what the control plane sends, starts one agent under a supervisor that reports what happens, and
says which files there are. It knows nothing of models, budgets or Proxmox.

    runner.py assemble TARGET N --sha256 HEX     put an upload together from TARGET.0 … TARGET.N-1
    runner.py apply BUNDLE.json                  programs, files and identity
    runner.py start BUNDLE.json                  check the installation, start the agent, return at once
    runner.py status | stop [--grace SECONDS]    of the current run
    runner.py capture OUT [--max-file BYTES] [--max-total BYTES] [--freeze [--freeze-seconds SECONDS]]
    runner.py thaw                               let go on what `capture --freeze` holds still
    runner.py contents OUT SHA256…
    runner.py supervise RUN                      what `start` has systemd run

Paths on the command line are real paths; paths inside a bundle are the guest's and lie under ${GUEST_ROOT}.
Answers are one line of JSON on stdout; a failure is one sentence on stderr and the exit code of `Failure`.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import math
import os
import re
import signal
import stat
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Iterator
    from http.client import HTTPConnection

ROOT = os.environ.get("GUEST_ROOT", "").rstrip("/")
WORKSPACE = ROOT + "/workspace"
PROGRAMS = "/opt/autovibe"
STATE = ROOT + "/var/lib/autovibe"

LINE_BYTES = 16 * 1024
BATCH_BYTES = 256 * 1024
LOG_LIMIT_BYTES = 64 * 1024 * 1024  # a chatty agent must not fill its own disk
SEND_SECONDS = 0.3
BEAT_SECONDS = 5.0
TICK_SECONDS = 0.1
GRACE_SECONDS = 10.0
LEFTOVER_GRACE_SECONDS = 2.0
FREEZE_SECONDS = 180.0  # then a frozen agent goes on by itself: nobody may be left to thaw it
STANDSTILL_SECONDS = 10.0  # how long stopping every process may take
STOP_SECONDS = 0.02  # how long stopping one usually takes at most
DISK_WAIT_SECONDS = 1.0  # how long we wait for one that waits for a disk
LONGEST_TICK_SECONDS = 1.0
LAST_WORDS_SECONDS = 5.0  # how long a stopped supervisor tries to deliver what is left
UNIT_SECONDS = 10.0  # how long systemd may take to start a supervisor, and it to say that it is there
UNIT_STOP_SECONDS = 15  # more than a shutdown's grace
TOLD_GRACE_SECONDS = 5.0  # with the last words less than a unit's time to stop
STATE_SECONDS = 2.0  # how long systemd may take to say how it is
MAX_BACKOFF_SECONDS = 10.0
HTTP_TIMEOUT_SECONDS = 20.0
INSTALL_CHECK_SECONDS = 60.0
UNKNOWN_EXIT = 255
RACY_NS = 100_000_000  # a file this young when read may change within the same clock tick: read it again


class Failure(Exception):
    """Something the caller has to act on; `code` is the exit code (3 refused, 4 not installed, 5 busy)."""

    def __init__(self, sentence: str, code: int = 3) -> None:
        super().__init__(sentence)
        self.code = code


# --- small files


def write_atomically(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write a file so that a reader sees the old content or the new, never half of it."""
    temporary = f"{path}.{os.getpid()}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(descriptor, mode)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def write_json(path: str, value: object) -> None:
    write_atomically(path, json.dumps(value).encode())


def read_bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def read_json(path: str) -> Any:
    """The file's value, or None where there is no such file or it is not JSON."""
    try:
        return json.loads(read_bytes(path))
    except (OSError, ValueError):
        return None


def read_text(path: str) -> str:
    try:
        return read_bytes(path).decode(errors="replace").strip()
    except OSError:
        return ""


def without(values: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def answer(value: object) -> None:
    print(json.dumps(value), flush=True)


# --- uploading


def assemble(target: str, count: int, sha256: str) -> None:
    """Put TARGET together from its parts, check it, remove the parts; a second time does nothing."""
    parts = [f"{target}.{n}" for n in range(count)]
    missing = [part for part in parts if not os.path.exists(part)]
    if missing and not (os.path.exists(target) and _sha256_of([target]) == sha256):
        raise Failure(f"{missing[0]}, one of {count} parts, is missing; upload it again.")
    if not missing:
        found = _sha256_of(parts)
        if sha256 and found != sha256:
            raise Failure(f"{target}: its {count} parts have sha256 {found}, not {sha256}; upload it again.")
        write_atomically(target, b"".join(map(read_bytes, parts)))
    for part in parts:
        with suppress(FileNotFoundError):
            os.unlink(part)
    answer({"assembled": target, "bytes": os.path.getsize(target)})


def _sha256_of(paths: list[str]) -> str:
    return hashlib.sha256(b"".join(map(read_bytes, paths))).hexdigest()


def load_bundle(path: str) -> dict[str, Any]:
    """Read a bundle and close it to other users; raises Failure when it is not one."""
    try:
        os.chmod(path, 0o600)
        bundle = json.loads(read_bytes(path))
    except (OSError, ValueError) as error:
        raise Failure(f"The bundle {path} cannot be read: {error}.") from None
    if not isinstance(bundle, dict) or not re.fullmatch(r"[A-Za-z0-9-]{1,64}", str(bundle.get("run"))):
        raise Failure(f"The bundle {path} names no valid run.")
    return bundle


# --- applying


class Write(NamedTuple):
    """One validated change to a file; without data it is deleted."""

    path: str
    data: bytes | None
    mode: int

    def perform(self) -> None:
        if self.data is None:
            with suppress(FileNotFoundError):
                os.unlink(self.path)
            return
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        write_atomically(self.path, self.data, self.mode)


def apply(path: str) -> None:
    """Write a bundle's programs, files and identity. Everything is validated before anything is written."""
    bundle = load_bundle(path)
    programs = [_program(item) for item in bundle.get("programs") or []]
    files = [_file(item) for item in bundle.get("files") or []]
    _refuse_collisions(files)
    identity = _identity(bundle.get("identity") or {})
    os.makedirs(WORKSPACE, exist_ok=True)
    for write in programs + files:
        write.perform()
    _assume(identity)
    names = {"hostname": read_text(ROOT + "/etc/hostname"), "machine_id": read_text(ROOT + "/etc/machine-id")}
    answer({"applied": len(files), **names})


def _program(item: dict[str, Any]) -> Write:
    path, content = item.get("path"), item.get("content")
    if not isinstance(path, str) or not isinstance(content, str):
        raise Failure("A program in the bundle has no path or no content.")
    if not path.startswith(PROGRAMS + "/") or os.path.normpath(path) != path or "\0" in path:
        raise Failure(f"The program {path!r} does not lie under {PROGRAMS}.")
    return Write(ROOT + path, content.encode(), 0o755)


def _file(item: dict[str, Any]) -> Write:
    path = item.get("path")
    if not isinstance(path, str) or not path or "\0" in path:
        raise Failure(f"{path!r} is not the path of a file.")
    if path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
        raise Failure(f"{path!r} is not a plain path relative to /workspace.")
    _refuse_unreachable(path)
    mode = item.get("mode", 0o644)
    if not isinstance(mode, int) or not 0 <= mode <= 0o7777:
        raise Failure(f"{path}: {mode!r} is not a file mode.")
    return Write(f"{WORKSPACE}/{path}", None if item.get("delete") else _decoded(path, item), mode)


def _refuse_unreachable(path: str) -> None:
    target = f"{WORKSPACE}/{path}"
    inside = os.path.realpath(WORKSPACE)
    parent = os.path.realpath(os.path.dirname(target))
    if parent != inside and not parent.startswith(inside + "/"):
        raise Failure(f"{path} leads out of /workspace through a symbolic link.")
    for above in itertools.accumulate(path.split("/")[:-1], "{}/{}".format):
        if os.path.lexists(f"{WORKSPACE}/{above}") and not os.path.isdir(f"{WORKSPACE}/{above}"):
            raise Failure(f"{path}: {above} is not a directory.")
    if os.path.isdir(target) and not os.path.islink(target):
        raise Failure(f"{path} is a directory.")


def _decoded(path: str, item: dict[str, Any]) -> bytes:
    import base64

    try:
        return base64.b64decode(item["content"], validate=True)
    except (KeyError, TypeError, ValueError):
        raise Failure(f"{path} has no content in base64.") from None


def _refuse_collisions(files: list[Write]) -> None:
    paths = [file.path for file in files]
    if len(set(paths)) < len(paths):
        raise Failure("The bundle names a file twice.")
    written = {file.path for file in files if file.data is not None}
    for path in paths:
        if written.intersection(itertools.accumulate(path.split("/")[:-1], "{}/{}".format)):
            raise Failure(f"{path[len(WORKSPACE) + 1 :]} would lie in a directory that is to be a file.")


def _identity(identity: dict[str, Any]) -> dict[str, str]:
    shapes = {"hostname": r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "machine_id": r"[0-9a-f]{32}"}
    for key, shape in shapes.items():
        if key in identity and not re.fullmatch(shape, str(identity[key])):
            raise Failure(f"{identity[key]!r} is not a {key.replace('_', '-')}.")
    return {key: str(identity[key]) for key in shapes if key in identity}


def _assume(identity: dict[str, str]) -> None:
    """Become that machine as far as the guest lets us; the answer shows how far that was."""
    os.makedirs(ROOT + "/etc", exist_ok=True)
    for key, path in {"hostname": "/etc/hostname", "machine_id": "/etc/machine-id"}.items():
        if key in identity:
            with suppress(OSError):
                write_atomically(ROOT + path, identity[key].encode() + b"\n", 0o644)
    # Only under systemd is the kernel's host name ours: an embedded guest shares its host's.
    if "hostname" in identity and not ROOT and os.path.isdir("/run/systemd/system"):
        import subprocess

        with suppress(OSError, subprocess.SubprocessError):
            command = ["hostnamectl", "set-hostname", identity["hostname"]]
            subprocess.run(command, timeout=10, check=False, capture_output=True)


# --- a run


class Run:
    """The files of one run. A held lock says that its supervisor lives: unlike a process number it stays true
    across reboots, restored disks and process namespaces."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.directory = f"{STATE}/runs/{name}"
        self.settings = f"{self.directory}/settings.json"  # 0600: the only place a token is kept
        self.prompt = f"{self.directory}/prompt.txt"
        self.lock = f"{self.directory}/lock"
        self.working = f"{self.directory}/working"  # held from the agent's start until its end is known
        self.freezing = f"{self.directory}/freezing"  # held by whoever freezes or thaws
        self.frozen = f"{self.directory}/frozen.json"
        self.log = f"{self.directory}/agent.log"
        self.sent = f"{self.directory}/sent.json"
        self.pids = f"{self.directory}/pids.json"
        self.ended = f"{self.directory}/ended.json"
        self.stop = f"{self.directory}/stop"
        self.ready = f"{self.directory}/ready"  # a pipe, by which a unit's supervisor says that it is there

    @classmethod
    def current(cls) -> Run | None:
        name = read_text(f"{STATE}/current")
        return cls(name) if name else None

    def begin(self, bundle: dict[str, Any]) -> None:
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        write_atomically(self.prompt, str(bundle.get("prompt") or "").encode(), 0o644)
        write_json(self.settings, without(bundle, "programs", "files", "prompt"))
        write_atomically(f"{STATE}/current", self.name.encode(), 0o644)

    def forget_token(self) -> None:
        settings = read_json(self.settings) or {}
        write_json(self.settings, without(settings, "token", "env"))

    def supervised(self) -> bool:
        """Whether a supervisor holds this run."""
        return held(self.lock)

    def running(self) -> bool:
        """Whether an agent runs under a supervisor; one that lost its supervisor is no run any more."""
        return held(self.working)

    def processes(self) -> set[int]:
        """Every process of this run but its supervisor, for anybody who asks."""
        pids = read_json(self.pids) or {}
        supervisor = pids.get("supervisor") or 0
        if not has_open(supervisor, self.lock):  # after a restart its number may be anybody's
            return processes_of(self.name)
        return processes_of(self.name, pids.get("agent") or 0, supervisor)

    def delivered(self) -> bool:
        return bool((read_json(self.sent) or {}).get("ended"))

    def unsent(self) -> int:
        """How many reports are still owed: lines, and the end."""
        offset = (read_json(self.sent) or {}).get("offset", 0)
        lines = 0
        with suppress(OSError), open(self.log, "rb") as log:
            log.seek(offset)
            lines = sum(chunk.count(b"\n") for chunk in iter(lambda: log.read(1 << 20), b""))
        return lines + (os.path.exists(self.ended) and not self.delivered())


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold a lock file, waiting for whoever has it."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def held(path: str) -> bool:
    """Whether somebody holds that lock file."""
    with suppress(FileNotFoundError), open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def environment(run: Run, bundle: dict[str, Any]) -> dict[str, str]:
    """What the agent finds in its environment; by AUTOVIBE_RUN its processes are found again."""
    usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    home = ROOT + "/root"
    own = f"{ROOT}{PROGRAMS}/bin:{home}/.local/bin"
    env = {
        "PATH": ":".join(filter(None, [own, os.environ.get("PATH"), usual])),
        "HOME": home,
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",  # what a script says should be seen while it runs
        **({"GUEST_ROOT": ROOT} if ROOT else {}),
        **{k: v.replace("{prompt_file}", run.prompt) for k, v in (bundle.get("env") or {}).items()},
        "AUTOVIBE_RUN": run.name,
        "AUTOVIBE_MACHINE": str(bundle.get("machine") or ""),
        "AUTOVIBE_PROMPT_FILE": run.prompt,
        "AUTOVIBE_RESUME": "1" if bundle.get("resume") else "",
    }
    os.makedirs(env["HOME"], exist_ok=True)
    return env


def start(path: str) -> None:
    """Start the bundle's run, or say that it was started before; returns once its supervisor has it."""
    bundle = load_bundle(path)
    run = Run(bundle["run"])
    os.makedirs(f"{STATE}/runs", exist_ok=True)
    os.makedirs(WORKSPACE, exist_ok=True)
    with locked(f"{STATE}/start.lock"):
        known = os.path.exists(run.settings)
        if not known:
            _refuse_second_run(run)
            _check_bundle(bundle)
            _check_installation(run, bundle)
            run.begin(bundle)
        write_json(path, without(bundle, "token", "env", "programs", "files"))
        started = not run.supervised() and not run.delivered() and _detach(run)
    answer({"run": run.name, "pid": (read_json(run.pids) or {}).get("supervisor"), "started": started})


def _refuse_second_run(run: Run) -> None:
    current = Run.current()
    if current and current.name != run.name:
        if current.supervised():
            raise Failure(f"Run {current.name} is still active in this guest; stop it first.", code=5)
        signal_all(current.processes(), signal.SIGKILL)  # left behind by a supervisor that was killed
        current.forget_token()


def _check_bundle(bundle: dict[str, Any]) -> None:
    for key in ("gateway", "token", "command"):
        if not isinstance(bundle.get(key), str) or not bundle[key]:
            raise Failure(f"The bundle has no {key}.")
    env = bundle.get("env") or {}
    if not all(isinstance(part, str) and "\0" not in part for pair in env.items() for part in pair):
        raise Failure("The bundle's environment holds something that is not text.")


def _check_installation(run: Run, bundle: dict[str, Any]) -> None:
    import subprocess

    script = bundle.get("install_check")
    if not script:
        return
    how: dict[str, Any] = {"cwd": WORKSPACE, "env": environment(run, bundle)}
    how.update(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        check = subprocess.run(["/bin/sh", "-c", script], timeout=INSTALL_CHECK_SECONDS, check=False, **how)
    except subprocess.TimeoutExpired:
        raise Failure(f"The installation's check took over {INSTALL_CHECK_SECONDS:.0f} s.", 4) from None
    if check.returncode:
        said = " ".join(check.stdout.decode(errors="replace").split())[-1000:]
        raise Failure(said or f"The installation's check failed with exit code {check.returncode}.", 4)


def under_systemd() -> bool:
    """Whether systemd has booted this guest (sd_booted(3)); never true of an embedded one, whatever its host."""
    return os.path.isdir(ROOT + "/run/systemd/system")


def _detach(run: Run) -> bool:
    """Run a supervisor that belongs to nobody; returns when it holds the run."""
    if not (under_systemd() and _start_unit(run)):
        _fork_twice(run)
    return True


def _start_unit(run: Run) -> bool:
    """Make the supervisor a unit of its own; False where systemd does not want to.

    Whatever guest-exec starts is in the control group of the guest agent's unit otherwise. It ends with that, at
    an upgrade for example, or when the kernel kills one process of it for want of memory (systemd.service(5),
    OOMPolicy=).
    """
    import subprocess

    with suppress(FileNotFoundError):
        os.unlink(run.ready)
    os.mkfifo(run.ready, 0o600)
    reading = os.open(run.ready, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with open(f"{run.directory}/supervisor.log", "ab") as log:
            how: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": log}
            subprocess.run(_unit(run), timeout=UNIT_SECONDS, check=True, **how)
        _await_supervisor(run, reading)
    except (OSError, subprocess.SubprocessError):
        return False
    finally:
        os.close(reading)
        os.unlink(run.ready)
    return True


def _unit(run: Run) -> list[str]:
    options = [
        "OOMPolicy=continue",
        "KillMode=mixed",
        f"TimeoutStopSec={UNIT_STOP_SECONDS}",
        "TasksMax=infinity",
    ]
    environment = {"PATH": os.environ.get("PATH"), "GUEST_ROOT": ROOT}
    return [
        *("systemd-run", "--quiet", "--collect", f"--unit=autovibe-{run.name}"),
        *itertools.chain.from_iterable(("-p", option) for option in options),
        *(f"--setenv={name}={value}" for name, value in environment.items() if value),
        *(sys.executable, os.path.abspath(__file__), "supervise", run.name),
    ]


def supervise(name: str) -> None:
    """Be the supervisor of a run that was begun. Never returns."""
    run = Run(name)
    # For writing alone this would fail, or wait for ever, once whoever started us is gone.
    ready = os.open(run.ready, os.O_RDWR)
    _redirect(f"{run.directory}/supervisor.log", keep=ready)
    _supervise_and_exit(run, ready)


def _fork_twice(run: Run) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        _redirect(f"{run.directory}/supervisor.log", keep=writing)
        _supervise_and_exit(run, writing)
    os.close(writing)
    os.waitpid(child, 0)
    try:
        _await_supervisor(run, reading)
    finally:
        os.close(reading)


def _await_supervisor(run: Run, reading: int) -> None:
    import select

    said = select.select([reading], [], [], UNIT_SECONDS)[0]
    if not said or not os.read(reading, 1):
        log = read_text(f"{run.directory}/supervisor.log")[-500:]
        raise Failure(f"The supervisor did not start: {log}", code=5)


def _redirect(log: str, keep: int) -> None:
    """Let go of all inherited but one pipe: others wait for these pipes to close, and for our locks."""
    os.closerange(3, keep)
    os.closerange(keep + 1, 256)
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)


def _supervise_and_exit(run: Run, ready: int) -> None:
    try:
        with locked(run.lock):
            Supervisor(run).work(ready)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(0)


def status() -> None:
    run = Run.current()
    if run is None:
        return answer({"run": None, "running": False, "pid": None, "exit_code": None, "unsent": 0})
    running = run.running()
    ended = None if running else read_json(run.ended)
    state = {"pid": (read_json(run.pids) or {}).get("agent") if running else None}
    state["exit_code"] = ended["exit_code"] if ended else None
    return answer({"run": run.name, "running": running, **state, "unsent": run.unsent()})


def stop(grace: float) -> None:
    """End the agent and the supervisor of the current run, whatever state they are in."""
    run = Run.current()
    if run is None:
        return answer({"run": None, "stopped": True})
    if run.supervised():
        write_json(run.stop, {"grace": grace})
    deadline = time.monotonic() + grace + LAST_WORDS_SECONDS + 5
    while run.supervised() and time.monotonic() < deadline:
        time.sleep(TICK_SECONDS)
    signal_all(processes_of(run.name), signal.SIGKILL)
    code = (read_json(run.ended) or {}).get("exit_code")
    stopped = not run.supervised()
    return answer({"run": run.name, "stopped": stopped, "exit_code": code, "unsent": run.unsent()})


# --- processes


def processes_of(run: str, agent: int = 0, supervisor: int = 0) -> set[int]:
    """Every live process of a run: of the agent's session or group, with its marker in the environment, and
    what descends from the supervisor, who inherits orphans. Neither the supervisor nor this process."""
    found: set[int] = set()
    parents: dict[int, int] = {}
    marker = b"\0AUTOVIBE_RUN=" + run.encode() + b"\0"
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with suppress(OSError, IndexError, ValueError):
            fields = _stat(f"/proc/{pid}")
            if fields[0] in (b"Z", b"X"):
                continue
            parents[pid] = int(fields[1])
            if (agent and agent in (int(fields[2]), int(fields[3]))) or _marked(pid, marker):
                found.add(pid)
    if supervisor:
        found.update(_descendants(supervisor, parents))
    return found - {supervisor, os.getpid()}


def _stat(process: str) -> list[bytes]:
    """The fields of proc(5)'s stat after the name, which may itself contain spaces and parentheses."""
    return read_bytes(f"{process}/stat").rpartition(b")")[2].split()


def _marked(pid: int, marker: bytes) -> bool:
    with suppress(OSError):
        return marker in b"\0" + read_bytes(f"/proc/{pid}/environ")
    return False


def _descendants(ancestor: int, parents: dict[int, int]) -> set[int]:
    found: set[int] = set()
    fresh = {ancestor}
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh}
        found |= fresh
    return found


def has_open(pid: int, path: str) -> bool:
    """Whether a process has a file open."""
    with suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                if os.path.samefile(f"/proc/{pid}/fd/{descriptor}", path):
                    return True
    return False


def signal_all(pids: Iterable[int], number: int) -> None:
    """Signal processes, parents before their children; to go on, after them (see `_stop_one`)."""
    for pid in sorted(pids, reverse=number == signal.SIGCONT):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def resident_bytes(pids: Iterable[int]) -> int:
    pages = 0
    for pid in pids:
        with suppress(OSError, IndexError, ValueError):
            pages += int(read_bytes(f"/proc/{pid}/statm").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# --- freezing


def freeze(run: Run, seconds: float) -> int:
    """Stop every process of a run but its supervisor, who thaws them after that time; says how many.

    We are done when all stood still, and looking again found no others: a process can only have been missed
    while one that makes processes still moved.
    """
    began = time.monotonic()
    with locked(run.freezing):
        write_json(run.frozen, {"at": time.time_ns(), "seconds": seconds})
        quiet: set[int] | None = None
        while (found := run.processes()) != quiet:
            waited = time.monotonic() - began
            moving = [pid for pid in found if not _at_rest(pid, disk=waited > DISK_WAIT_SECONDS)]
            if waited > STANDSTILL_SECONDS:
                raise Failure(f"The agent's processes do not stand still after {STANDSTILL_SECONDS:.0f} s.")
            quiet = None if moving else found
            for pid in sorted(moving):
                _stop_one(pid)
        if not found:
            os.unlink(run.frozen)
    return len(found)


def _stop_one(pid: int) -> None:
    """Stop a process and wait a moment until it stands: a shell must not see its child stopped before that."""
    signal_all([pid], signal.SIGSTOP)
    deadline = time.monotonic() + STOP_SECONDS
    while not _at_rest(pid, disk=False) and time.monotonic() < deadline:
        time.sleep(0.0002)


def _at_rest(pid: int, *, disk: bool) -> bool:
    """Whether all threads are stopped, traced or dead. A signal arrives a little after it was sent.

    `disk`: whether one that waits for a disk counts, too. It may be one that waits for a stopped child to
    exec (vfork(2)) and cannot stop before; neither of them writes anything.
    """
    states = set()
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError, IndexError):
                states.add(_stat(f"/proc/{pid}/task/{thread}")[0])
    return states <= {b"T", b"t", b"Z", b"X", b"D" if disk else b"T"}


def thaw(run: Run, freezer: str = "") -> int:
    """Let a frozen run go on, says how many processes; with a `freezer`, only when it is that one's."""
    if not os.path.exists(run.frozen):
        return 0
    with locked(run.freezing):
        by = read_text(run.frozen)
        if not by or (freezer and freezer != by):
            return 0
        found = run.processes()
        signal_all(found, signal.SIGCONT)
        with suppress(FileNotFoundError):
            os.unlink(run.frozen)
    return len(found)


def thaw_current() -> None:
    run = Run.current()
    answer({"run": run.name if run else None, "thawed": thaw(run) if run else 0})


@contextmanager
def held_still(seconds: float) -> Iterator[int]:
    """Freeze the current run for that time, 0 for not at all. Only when the block fails it is thawed here."""
    run = Run.current()
    if run is None or not seconds:
        yield 0
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield freeze(run, seconds)
    except BaseException:
        thaw(run)
        raise


# --- the journal


class Journal:
    """The run's log: lines of JSON, [seq, unix_time, stream, text]. It is also the queue of what to send."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "ab+", buffering=0)  # noqa: SIM115 (lives as long as the supervisor)
        self._lock = threading.Lock()
        self.seq, self.size = self._recover()
        self.dropped = 0

    def _recover(self) -> tuple[int, int]:
        """Number of the last whole line; half a line at the end (a killed supervisor's) is cut off."""
        self._file.seek(0)
        seq = size = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            seq, size = int(line[1 : line.index(b",")]), size + len(line)
        self._file.truncate(size)
        return seq, size

    def append(self, stream: str, text: str) -> None:
        """Note one line; where there is no room, for the log or on the disk, it is counted and dropped."""
        entry = [self.seq + 1, round(time.time(), 3), stream, text.replace("\0", "\ufffd")]
        line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        with self._lock:
            if (self.size > LOG_LIMIT_BYTES and stream != "sys") or not self._written(line):
                self.dropped += 1
                return
            self.seq, self.size = self.seq + 1, self.size + len(line)

    def _written(self, line: bytes) -> bool:
        with suppress(OSError):
            if self._file.write(line) == len(line):
                return True
        self._file.truncate(self.size)
        return False

    def read(self, offset: int) -> tuple[list[Any], int]:
        """The next lines after `offset`, at most a batch, and the offset after them."""
        with self._lock:
            self._file.seek(offset)
            data = self._file.read(min(self.size - offset, BATCH_BYTES))
        whole = data[: data.rfind(b"\n") + 1]
        return [json.loads(line) for line in whole.splitlines()], offset + len(whole)


class LineSplitter:
    """Bytes of one stream in, lines of text out; a line that is too long is cut between characters."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        self._emit = emit
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._long(line)
        while len(self._rest) > LINE_BYTES:
            self._rest = self._cut(self._rest)

    def finish(self) -> None:
        if self._rest:
            self._long(self._rest)
        self._rest = b""

    def _long(self, line: bytes) -> None:
        while len(line) > LINE_BYTES:
            line = self._cut(line)
        self._emit(line.decode(errors="replace").rstrip("\r"))

    def _cut(self, line: bytes) -> bytes:
        at = LINE_BYTES
        while at > LINE_BYTES - 4 and line[at] & 0xC0 == 0x80:
            at -= 1
        self._emit(line[:at].decode(errors="replace"))
        return line[at:]


# --- the reporter


class Gateway:
    """One kept connection to the gateway's door for guests."""

    def __init__(self, url: str, token: str) -> None:
        from urllib.parse import urlsplit

        self._url = urlsplit(url.rstrip("/") + "/guest/v1/report")
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._connection: HTTPConnection | None = None

    def post(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer; a kept connection that went stale is replaced at once."""
        if self._connection is not None:
            with suppress(Exception):
                return self._request(self._connection, body)
            self.disconnect()
        self._connection = self._connect()
        return self._request(self._connection, body)

    def disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _connect(self) -> HTTPConnection:
        from http.client import HTTPConnection, HTTPSConnection

        kind = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        return kind(self._url.netloc, timeout=HTTP_TIMEOUT_SECONDS)

    def _request(self, connection: HTTPConnection, body: bytes) -> tuple[int, bytes]:
        connection.request("POST", self._url.path, body, self._headers)
        response = connection.getresponse()
        return response.status, response.read()


class Reporter(threading.Thread):
    """Sends the journal to the gateway, at least once and in order, and hears whether to stop."""

    def __init__(self, run: Run, journal: Journal, beat: Callable[[], dict[str, Any]]) -> None:
        super().__init__(daemon=True)
        settings = read_json(run.settings) or {}
        self._run, self._journal, self._beat = run, journal, beat
        self._gateway = Gateway(settings.get("gateway", ""), settings.get("token", ""))
        self._sent = read_json(run.sent) or {"seq": 0, "offset": 0, "ended": False}
        self._beat_at = 0.0
        self._backoff = 0.0
        self.wake = threading.Event()
        self.ended: dict[str, Any] | None = (
            read_json(run.ended) or None
        )  # in memory too: the disk may be full
        self.stop_sentence = ""  # set when the gateway wants the agent stopped
        self.refused = False  # set when the gateway does not know our token any more

    def run(self) -> None:
        while not self._sent["ended"] and not self.refused:
            self.wake.wait(self._backoff or SEND_SECONDS)
            self.wake.clear()
            self._step()

    def _step(self) -> None:
        try:
            while self._report():
                pass
            self._backoff = 0.0
        except Exception as error:  # whatever it was, nothing is lost: say it, wait, try again
            print(time.strftime("%FT%TZ", time.gmtime()), f"report failed: {error!r}", flush=True)
            self._gateway.disconnect()
            self._backoff = min(max(0.25, self._backoff * 2), MAX_BACKOFF_SECONDS)

    def _report(self) -> bool:
        """Send one batch, if there is anything to say; True when that was a full one."""
        ended, begin = self.ended, self._sent["offset"]
        lines, offset = self._journal.read(begin)
        due = time.monotonic() >= self._beat_at
        last = ended if offset == self._journal.size else None
        if not (lines or due or last) or self.refused:
            return False
        beat = self._beat() if due else None
        self._post({"run": self._run.name, "lines": lines, "beat": beat, "ended": last})
        if due:
            self._beat_at = time.monotonic() + BEAT_SECONDS
        if not self.refused:
            self._acknowledged(lines[-1][0] if lines else self._sent["seq"], offset, ended=last is not None)
        return offset - begin > BATCH_BYTES // 2 and not self.refused

    def _acknowledged(self, seq: int, offset: int, *, ended: bool) -> None:
        if (seq, ended) != (self._sent["seq"], self._sent["ended"]):
            self._sent = {"seq": seq, "offset": offset, "ended": ended}
            with suppress(OSError):
                write_json(self._run.sent, self._sent)

    def _post(self, report: dict[str, Any]) -> None:
        status, body = self._gateway.post(json.dumps(report, ensure_ascii=False).encode())
        if status == 401:
            self.refused = True
            self.stop_sentence = "Stopped because the gateway no longer accepts this run's token."
            return
        if not 200 <= status < 300:
            raise OSError(f"the gateway answered {status}: {body[:300]!r}")
        with suppress(ValueError, AttributeError):
            if json.loads(body or b"{}").get("stop"):
                self.stop_sentence = "Stopped because the control plane asked for it."


# --- the supervisor


class Supervisor:
    """Runs one agent and ends when its end is known to the gateway."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.settings: dict[str, Any] = read_json(run.settings) or {}
        self.journal = Journal(run.log)
        self.reporter = Reporter(run, self.journal, self._beat)
        self.agent: subprocess.Popen[bytes] | None = None
        self.seconds = 0.0  # that the agent had: neither frozen nor, with all of the guest, suspended
        self.ticked = time.monotonic()
        self.freezer = ""  # what `run.frozen` said
        self.frozen_seconds = 0.0
        self.why = ""  # why we ended the agent, when we did
        self.kill_at = math.inf  # in those seconds, too

    def work(self, ready: int) -> None:
        """Start the agent, unless this run had one; follow it; see everything acknowledged."""
        # Only the guest's system sends this; `stop` and the gateway have other ways.
        signal.signal(signal.SIGTERM, lambda *_: write_json(self.run.stop, _told_to_stop()))
        adopt_orphans()
        with locked(self.run.working):
            self._work(ready)
        self._deliver()

    def _work(self, ready: int) -> None:
        had_an_agent = os.path.exists(self.run.pids)
        pids = {"supervisor": os.getpid(), "agent": None}
        write_json(self.run.pids, pids)
        if not had_an_agent:
            self._launch()
            write_json(self.run.pids, {**pids, "agent": self.agent.pid if self.agent else None})
        os.write(ready, b"1")
        os.close(ready)
        self.reporter.start()
        if self.agent is not None:
            self._follow(self.agent)
        elif self.reporter.ended is None:
            signal_all(self._processes(), signal.SIGKILL)
            self._end(
                UNKNOWN_EXIT, None, "The agent and its supervisor died (a restart?); resume the machine."
            )

    def _launch(self) -> None:
        import subprocess

        how: dict[str, Any] = {"cwd": WORKSPACE, "env": environment(self.run, self.settings)}
        how.update(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            command = ["/bin/sh", "-c", self.settings["command"]]
            self.agent = subprocess.Popen(command, start_new_session=True, **how)
        except OSError as error:
            self._end(UNKNOWN_EXIT, None, f"The agent could not be started: {error}.")

    def _follow(self, agent: subprocess.Popen[bytes]) -> None:
        import selectors

        selector = selectors.DefaultSelector()
        for stream, pipe in (("out", agent.stdout), ("err", agent.stderr)):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            splitter = LineSplitter(lambda text, stream=stream: self.journal.append(stream, text))  # type: ignore[misc]
            selector.register(pipe, selectors.EVENT_READ, splitter)
        while agent.poll() is None:
            self._pump(selector, TICK_SECONDS)
            self._reap_orphans(agent.pid)
            self._tick()
            self._enforce()
        self._sweep(selector)
        for key in list(selector.get_map().values()):
            key.data.finish()
        self._end(*self._outcome(agent.returncode))

    def _pump(self, selector: Any, timeout: float) -> None:
        """Move what the agent said into the journal, until it pauses."""
        if not selector.get_map():
            time.sleep(timeout)
            return
        ready = selector.select(timeout)
        deadline = time.monotonic() + LONGEST_TICK_SECONDS / 2
        while ready and time.monotonic() < deadline:
            for key, _ in ready:
                data = os.read(key.fd, LINE_BYTES)
                if data:
                    key.data.feed(data)
                else:
                    key.data.finish()
                    selector.unregister(key.fileobj)
            ready = selector.select(0) if selector.get_map() else []

    def _reap_orphans(self, agent: int) -> None:
        with suppress(ChildProcessError):
            while True:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if info is None or info.si_pid == agent:
                    return
                os.waitpid(info.si_pid, 0)

    def _tick(self) -> None:
        """Count the agent's time, and thaw one that nobody came back for or that is to be stopped.

        A tick much longer than usual means that we were not running either: the guest was suspended.
        """
        now = time.monotonic()
        tick, self.ticked = min(now - self.ticked, LONGEST_TICK_SECONDS), now
        freezer = read_text(self.run.frozen)
        if freezer != self.freezer:
            self.freezer, self.frozen_seconds = freezer, 0.0
        if not freezer:
            self.seconds += tick
            return
        self.frozen_seconds += tick
        limit = json.loads(freezer)["seconds"]
        if os.path.exists(self.run.stop):
            thaw(self.run)
        elif self.frozen_seconds > limit and thaw(self.run, freezer):
            self.journal.append("sys", f"Frozen for {limit:g} s without being thawed; the agent goes on.")

    def _enforce(self) -> None:
        """End the agent when somebody asked for it or its time is up: TERM, and KILL after the shortest grace."""
        reason, grace = self._reason()
        if reason and self.seconds + grace < self.kill_at:
            self.why = self.why or reason
            self.journal.append("sys", reason)
            self.kill_at = self.seconds + grace
            signal_all(self._processes(), signal.SIGTERM)
            thaw(self.run)  # only then can it act on the signal
        elif self.seconds > self.kill_at:
            signal_all(self._processes(), signal.SIGKILL)

    def _reason(self) -> tuple[str, float]:
        wall = self.settings.get("wall_seconds")
        if os.path.exists(self.run.stop):
            asked = read_json(self.run.stop) or {}
            return asked.get("why", "Stopped on request."), asked.get("grace", GRACE_SECONDS)
        if wall and self.seconds > wall:
            return f"Stopped after {wall:g} s, the limit on this run's time.", GRACE_SECONDS
        return self.reporter.stop_sentence, GRACE_SECONDS

    def _sweep(self, selector: Any) -> None:
        """What the agent left running must not outlive it; a stopped one leaves it the rest of the grace."""
        self._pump(selector, 0)
        kill_at = self.kill_at if self.why else self.seconds + LEFTOVER_GRACE_SECONDS
        signal_all(self._processes(), signal.SIGTERM)
        while self._processes():
            if self.seconds > kill_at:
                signal_all(self._processes(), signal.SIGKILL)
            self._pump(selector, TICK_SECONDS)
            self._tick()
        self._pump(selector, 0)

    def _processes(self) -> set[int]:
        return processes_of(self.run.name, self.agent.pid if self.agent else 0, os.getpid())

    def _outcome(self, code: int) -> tuple[int, int | None, str]:
        seconds = self.seconds
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            sentence = f"The agent was killed by {name} after {seconds:.0f} s"
            sentence += "; the guest may have run out of memory." if name == "SIGKILL" else "."
            return 128 - code, -code, self.why or sentence
        if code:
            sentence = f"The agent ended with exit code {code} after {seconds:.0f} s; its last lines say why."
            return code, None, self.why or sentence
        return 0, None, self.why or f"The agent finished after {seconds:.0f} s."

    def _end(self, exit_code: int, number: int | None, sentence: str) -> None:
        if self.journal.dropped:
            why = f"the log may have {LOG_LIMIT_BYTES >> 20} MiB, or the disk is full"
            self.journal.append("sys", f"{self.journal.dropped} lines were dropped: {why}.")
        if (read_json(self.run.stop) or {}).get("off"):
            self.journal.append("sys", "The guest is being shut down, and the agent with it.")
            return  # not the agent's end: whoever switches the guest on again lets it go on
        seconds = round(self.seconds, 3)
        ended = {"exit_code": exit_code, "signal": number, "sentence": sentence, "seconds": seconds}
        with suppress(OSError):
            write_json(self.run.ended, ended)
        self.reporter.ended = ended
        self.reporter.wake.set()

    def _deliver(self) -> None:
        """Wait until everything is acknowledged; only for a while once somebody asked us to stop.

        A guest that is shut down is not kept waiting; the log keeps what was not sent.
        """
        off = (read_json(self.run.stop) or {}).get("off")
        deadline = time.monotonic() + (SEND_SECONDS if off else LAST_WORDS_SECONDS)
        while self.reporter.is_alive():
            self.reporter.join(TICK_SECONDS)
            if os.path.exists(self.run.stop) and time.monotonic() > deadline:
                return
        self.run.forget_token()

    def _beat(self) -> dict[str, Any]:
        disk = os.statvfs(WORKSPACE)
        return {
            "pid": self.agent.pid if self.agent else None,
            "load": os.getloadavg()[0],
            "rss_bytes": resident_bytes(self._processes()),
            "disk_bytes": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
        }


def _told_to_stop() -> dict[str, Any]:
    """What the system means by TERM: a shutdown, after which the run goes on, or our end alone."""
    if not under_systemd() or _is_stopping():
        return {"grace": GRACE_SECONDS, "off": True}
    why = "The guest's system stopped the agent, for an upgrade or for want of memory; resume the machine."
    return {"grace": TOLD_GRACE_SECONDS, "why": why}


def _is_stopping() -> bool:
    """Whether systemd shuts the guest down. It answers until the end: systemctl(1), is-system-running."""
    import subprocess

    how: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "timeout": STATE_SECONDS,
    }
    with suppress(OSError, subprocess.SubprocessError):
        # It fails for every state but one.
        said = subprocess.run(["systemctl", "is-system-running"], check=False, stdout=subprocess.PIPE, **how)
        return bool(said.stdout.strip() == b"stopping")
    return False


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants (prctl(2), PR_SET_CHILD_SUBREAPER): none gets away."""
    with suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


# --- capturing


class Inventory:
    """Which files there are. One with the inode, size and times of the last capture is not read again."""

    def __init__(self, max_file: int, max_total: int) -> None:
        self._max_file, self._left = max_file, max_total
        self._began_ns = time.time_ns()
        # path → [inode, size, mtime_ns, ctime_ns, canonical line, sha256]
        self._known: dict[str, list[Any]] = read_json(f"{STATE}/index.json") or {}
        self._known_contents = {known[5] for known in self._known.values()}
        self.found: dict[str, list[Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.omitted = 0
        self.files = self.bytes = 0

    def walk(self, top: str, prefix: str) -> None:
        """Take in everything below a directory; links are not followed, sockets and pipes not listed."""
        below = [(top, prefix)]
        while below:
            directory, prefix = below.pop()
            with suppress(OSError), os.scandir(directory) as entries:
                for entry in entries:
                    with suppress(OSError):  # it is gone again
                        path, info = prefix + entry.name, entry.stat(follow_symlinks=False)
                        self._take(path, entry.path, info)
                        if stat.S_ISDIR(info.st_mode):
                            below.append((entry.path, path + "/"))

    def _take(self, path: str, real: str, info: os.stat_result) -> None:
        kind = stat.S_IFMT(info.st_mode)
        if kind == stat.S_IFREG:
            self._take_file(path, real, info)
        elif kind in (stat.S_IFDIR, stat.S_IFLNK):
            entry = {"path": _text(path), "kind": "dir", "mode": stat.S_IMODE(info.st_mode), "size": 0}
            if kind == stat.S_IFLNK:
                entry.update(kind="link", target=_text(os.readlink(real)))
            self.found[path] = [0, 0, 0, 0, _canonical(entry), ""]

    def _take_file(self, path: str, real: str, info: os.stat_result) -> None:
        known = self._known.get(path)
        key = [info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns]
        if known is None or known[:4] != key:
            info, sha256, stable = self._read(path, real, info)
            key = [info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns]
            if not stable or info.st_ctime_ns > self._began_ns - RACY_NS:
                key[0] = 0  # no inode has this number: the file is read again next time
            known = [*key, _canonical(_file_entry(path, info, sha256, stable)), sha256]
        self.found[path] = known
        self.files += 1
        self.bytes += info.st_size

    def _read(self, path: str, real: str, info: os.stat_result) -> tuple[os.stat_result, str, bool]:
        """Hash a file, keeping its content where wanted; one that changes meanwhile gets three chances."""
        sha256 = ""
        for _ in range(3):
            try:
                with open(real, "rb") as file:
                    before = os.fstat(file.fileno())
                    sha256, content = _hashed(file, keep=before.st_size <= self._max_file)
                    info = os.fstat(file.fileno())
            except OSError:  # gone, or not ours to read
                break
            if (before.st_size, before.st_mtime_ns) == (info.st_size, info.st_mtime_ns):
                self._keep(path, sha256, content)
                return info, sha256, True
        return info, sha256, False

    def _keep(self, path: str, sha256: str, content: bytes | None) -> None:
        if sha256 in self._known_contents or sha256 in self.contents or "/.git/objects/" in "/" + path:
            return
        if content is None or len(content) > self._left:
            self.omitted += 1
            return
        self._left -= len(content)
        self.contents[sha256] = content

    def changed(self) -> int:
        """How many entries came, went or differ since the last capture."""
        before = {path: known[4] for path, known in self._known.items()}
        differing = [path for path, known in self.found.items() if before.get(path) != known[4]]
        return len(differing) + len(before.keys() - self.found.keys())

    def save(self) -> None:
        if self.found != self._known:
            write_json(f"{STATE}/index.json", self.found)


def _text(path: str) -> str:
    """A path as text that any database takes: bytes that are not UTF-8 are shown as escapes."""
    return path if path.isascii() else os.fsencode(path).decode(errors="backslashreplace")


def _canonical(entry: dict[str, Any]) -> str:
    return json.dumps(entry, separators=(",", ":"))


def _file_entry(path: str, info: os.stat_result, sha256: str, stable: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": _text(path), "kind": "file", "mode": stat.S_IMODE(info.st_mode)}
    entry.update(size=info.st_size, mtime_ns=info.st_mtime_ns, sha256=sha256)
    return entry if stable else {**entry, "unstable": True}


def _hashed(file: Any, *, keep: bool) -> tuple[str, bytes | None]:
    content = file.read() if keep else b""  # what is appended meanwhile makes it unstable
    digest = hashlib.sha256(content)
    for chunk in iter(lambda: file.read(1 << 20), b""):
        digest.update(chunk)
    return digest.hexdigest(), content if keep else None


def capture(out: str, max_file: int, max_total: int, freeze_seconds: float) -> None:
    """Write the manifest of the workspace and the agent's transcripts, with what is new in them.

    OUT is gzip over lines of JSON: a header, one entry per path (sorted), then {"sha256", "content"} with the
    base64 of contents the last capture did not have. The digest covers what the entries say; directories say
    nothing of their times. Frozen for these seconds, the agent stays so until `thaw`, that what is said here
    holds while Proxmox takes its snapshot.
    """
    os.makedirs(STATE, exist_ok=True)
    with locked(f"{STATE}/capture.lock"), held_still(freeze_seconds) as frozen:
        inventory = Inventory(max_file, max_total)
        inventory.walk(WORKSPACE, "")
        for transcript in _transcripts():
            inventory.walk(ROOT + transcript, transcript + "/")
        lines = [inventory.found[path][4] for path in sorted(inventory.found)]
        header: dict[str, Any] = {
            "digest": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
            "files": inventory.files,
            "bytes": inventory.bytes,
            "changed": inventory.changed(),
        }
        first = _canonical({**header, "omitted": inventory.omitted})
        write_lines(out, [first, *lines], inventory.contents)
        inventory.save()
        answer({**header, "out": out, "frozen": frozen})


def _transcripts() -> list[str]:
    """Where the current run's agent keeps its transcripts, as far as that lies outside the workspace."""
    run = Run.current()
    listed = (read_json(run.settings) or {}).get("transcripts") if run else None
    return [path.rstrip("/") for path in listed or [] if not (path + "/").startswith("/workspace/")]


def contents(out: str, wanted: list[str]) -> None:
    """Write the contents with these hashes, as far as the files of the last capture still have them."""
    index = read_json(f"{STATE}/index.json") or {}
    found: dict[str, bytes] = {}
    for path, entry in index.items():
        if entry[5] in wanted and entry[5] not in found:
            with suppress(OSError):
                data = read_bytes(ROOT + path if path.startswith("/") else f"{WORKSPACE}/{path}")
                if hashlib.sha256(data).hexdigest() == entry[5]:
                    found[entry[5]] = data
    missing = [sha256 for sha256 in wanted if sha256 not in found]
    write_lines(out, [_canonical({"missing": missing})], found)
    answer({"found": len(found), "missing": missing, "out": out})


def write_lines(out: str, lines: list[str], contents: dict[str, bytes]) -> None:
    """Write lines, then contents, as gzip (zlib's wbits 31) at its fastest level."""
    import binascii
    import zlib

    squeeze = zlib.compressobj(1, zlib.DEFLATED, 31)
    parts = [squeeze.compress(("\n".join(lines) + "\n").encode())]
    for sha256, content in contents.items():
        encoded = binascii.b2a_base64(content, newline=False).decode()
        parts.append(squeeze.compress((_canonical({"sha256": sha256, "content": encoded}) + "\n").encode()))
    write_atomically(out, b"".join([*parts, squeeze.flush()]))


# --- command line


def main(arguments: list[str]) -> int:
    import argparse

    parser = argparse.ArgumentParser(description="autovibe's runner inside a guest")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("apply", "start"):
        verbs.add_parser(name).add_argument("bundle")
    verbs.add_parser("assemble").add_argument("target")
    verbs.choices["assemble"].add_argument("count", type=int)
    verbs.choices["assemble"].add_argument("--sha256", default="")
    verbs.add_parser("capture").add_argument("out")
    verbs.choices["capture"].add_argument("--max-file", type=int, default=1 << 20)
    verbs.choices["capture"].add_argument("--max-total", type=int, default=8 << 20)
    verbs.choices["capture"].add_argument("--freeze", action="store_true")
    verbs.choices["capture"].add_argument("--freeze-seconds", type=float, default=FREEZE_SECONDS)
    verbs.add_parser("thaw")
    verbs.add_parser("contents").add_argument("out")
    verbs.choices["contents"].add_argument("sha256", nargs="+")
    verbs.add_parser("supervise").add_argument("run")
    verbs.add_parser("status")
    verbs.add_parser("stop").add_argument("--grace", type=float, default=5.0)
    try:
        _perform(parser.parse_args(arguments))
    except Failure as failure:
        print(failure, file=sys.stderr)
        return failure.code
    except OSError as error:
        print(f"The guest refused: {error}.", file=sys.stderr)
        return 1
    return 0


def _perform(asked: Any) -> None:
    verbs: dict[str, Callable[[], None]] = {
        "assemble": lambda: assemble(asked.target, asked.count, asked.sha256),
        "apply": lambda: apply(asked.bundle),
        "start": lambda: start(asked.bundle),
        "supervise": lambda: supervise(asked.run),
        "status": status,
        "stop": lambda: stop(asked.grace),
        "capture": lambda: capture(
            asked.out, asked.max_file, asked.max_total, asked.freeze_seconds if asked.freeze else 0
        ),
        "thaw": thaw_current,
        "contents": lambda: contents(asked.out, asked.sha256),
    }
    verbs[asked.verb]()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
