#!/usr/bin/env python3
"""The runner: what we do inside a guest, in one file that needs nothing but Python 3.9 or later.

It writes what the control plane sends, starts one agent under a supervisor that reports what happens, and
says which files there are. It knows nothing of models, budgets or Proxmox.

    runner.py assemble TARGET N --sha256 HEX     put an upload together from TARGET.0 … TARGET.N-1
    runner.py apply BUNDLE.json [--now SECONDS]  programs, files and identity (by identity.py, beside this file)
    runner.py start BUNDLE.json                  check the installation, start the agent, return at once
    runner.py status | stop [--grace SECONDS]    of the current run
    runner.py capture OUT [--since DIGEST] [--rest] [--max-file BYTES] [--max-total BYTES]
                      [--freeze [--freeze-seconds SECONDS]]
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

    # What is known of an entry: inode, size, mtime_ns and ctime_ns, its line in lists, the hashes of its content's
    # pieces, and whether that content is owed: there was no room yet to hand it out.
    Known = tuple[int, int, int, int, str, tuple[str, ...], bool]
    Pieces = list[tuple[str, bytes]]

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
IDENTITY_SECONDS = 90.0  # most of it for SSH host keys, on a slow processor
UNKNOWN_EXIT = 255
RACY_NS = 100_000_000  # a file this young when read may change within the same clock tick: read it again
PIECE = 1 << 20  # of contents that are handed out
HISTORY_PIECE = 64 << 10  # of the agent's history: what is added to it costs little more than itself
HISTORY_BYTES = 64 << 20  # of one file of it that is handed out whole
HISTORY_TOLD = 100  # files of it in an answer
UNKNOWN = "0" * 64  # the hash of what could not be read
REST_SECONDS = 1.5  # how long looking at all other files may take
REST_AGAIN_SECONDS = 3600.0
VOLATILE = (
    *("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/log", "/var/cache", "/var/lib/autovibe"),
    *("/lost+found", "/swapfile", "/swap.img"),
)


class Failure(Exception):
    """Something the caller has to act on; `code` is the exit code (3 refused, 4 not installed, 5 busy)."""

    def __init__(self, sentence: str, code: int = 3) -> None:
        super().__init__(sentence)
        self.code = code


# --- small files


def write_atomically(path: str, data: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Write a file so that a reader sees the old content or the new, never half of it."""
    temporary = f"{path}.{os.getpid()}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            if owner:
                with suppress(OSError):
                    os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)  # after that: a new owner takes special bits away (chown(2))
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
    mtime_ns: int = 0  # 0: now

    def perform(self) -> None:
        if self.data is None:
            with suppress(FileNotFoundError):
                os.unlink(self.path)
            return
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        write_atomically(self.path, self.data, self.mode, self._owner())
        if self.mtime_ns:
            os.utime(self.path, ns=(self.mtime_ns, self.mtime_ns))

    def _owner(self) -> tuple[int, int]:
        """Whose the file is; whose its directory is where there is none yet."""
        there = self.path if os.path.lexists(self.path) else os.path.dirname(self.path)
        info = os.lstat(there)
        return info.st_uid, info.st_gid


def apply(path: str, now: float | None = None) -> None:
    """Write a bundle's programs and files, and have a copied guest become somebody else.

    Everything is validated before anything is written. `now`: the time where we are told from, in Unix seconds.
    """
    bundle = load_bundle(path)
    programs = [_program(item) for item in bundle.get("programs") or []]
    files = [_file(item) for item in bundle.get("files") or []]
    _refuse_collisions(files)
    history = [_history(item) for item in bundle.get("overlay") or []]
    _check_identity(bundle.get("identity") or {})
    os.makedirs(WORKSPACE, exist_ok=True)
    for write in programs + history + files:
        write.perform()
    answer({"applied": len(files), "identity": _become(path, now) if bundle.get("identity") else {}})


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


def _history(item: dict[str, Any]) -> Write:
    """A file of the agent's history: as far as `keeps` it is there already, and goes on with the content."""
    path = str(item.get("path"))
    target = ROOT + path
    inside = os.path.realpath(ROOT or "/").rstrip("/")
    if os.path.normpath(path) != path or not os.path.realpath(target).startswith(inside + "/"):
        raise Failure(f"{path!r} is not a path in this guest.")
    there = b""
    with suppress(OSError), open(target, "rb") as file:
        there = file.read(item["keeps"])
    data = there + _decoded(path, item)
    if hashlib.sha256(data).hexdigest() != item["sha256"]:
        raise Failure(f"{path} in this guest is not what the checkpoint's conversation went on from.")
    return Write(target, data, item["mode"], item["mtime_ns"])


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


def _check_identity(identity: dict[str, Any]) -> None:
    shapes = {"hostname": r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "machine_id": r"[0-9a-f]{32}"}
    for key, shape in shapes.items():
        if key in identity and not re.fullmatch(shape, str(identity[key])):
            raise Failure(f"{identity[key]!r} is not a {key.replace('_', '-')}.")
    if identity and not isinstance(identity.get("of"), str):
        raise Failure("The bundle does not say what its identity is for.")


def _become(path: str, now: float | None) -> dict[str, Any]:
    """What `identity.py` says of each thing that makes this guest somebody."""
    import subprocess

    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "identity.py")
    command = [sys.executable, program, path, *([] if now is None else ["--now", str(now)])]
    try:
        done = subprocess.run(command, timeout=IDENTITY_SECONDS, check=False, capture_output=True)
        return dict(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        raise Failure(f"Becoming somebody else took over {IDENTITY_SECONDS:.0f} s.", code=5) from None
    except ValueError:
        said = done.stderr.decode(errors="replace").strip()[-500:]
        raise Failure(f"This guest could not become somebody else: {said}", code=5) from None


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
        write_json(self.settings, without(bundle, "programs", "files", "overlay", "prompt", "identity"))
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
        write_json(path, without(bundle, "token", "env", "programs", "files", "overlay", "identity"))
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


class Index:
    """What the last capture found, by path, in a file that each capture adds its changes to.

    What a capture writes is in the snapshot that follows, so it is little where little changed.
    """

    def __init__(self) -> None:
        self._path = f"{STATE}/index"
        self.digest = ""
        self.known: dict[str, Known] = {}
        self._whole = self._end = 0  # where the first record ends, and the last good one
        with suppress(OSError, ValueError, EOFError, TypeError):  # cut short, or of another Python
            self._load(read_bytes(self._path))

    def _load(self, data: bytes) -> None:
        import marshal

        while self._end < len(data):
            begin = self._end + 8
            end = begin + int.from_bytes(data[self._end : begin], "big")
            digest, changed, gone = marshal.loads(data[begin:end])
            self.known.update(changed)
            for path in gone:
                del self.known[path]
            self.digest, self._whole, self._end = digest, self._whole or end, end

    def save(self, digest: str, found: dict[str, Known]) -> None:
        """Add what differs; once that has become half of the file, write it anew."""
        import marshal

        changed = {path: entry for path, entry in found.items() if self.known.get(path) is not entry}
        gone = [path for path in self.known if path not in found]
        if not (changed or gone) and digest == self.digest:
            return
        record = _framed(marshal.dumps((digest, changed, gone)))
        if self._end + len(record) < 2 * self._whole and os.path.getsize(self._path) == self._end:
            with open(self._path, "ab") as file:
                file.write(record)
        else:
            write_atomically(self._path, _framed(marshal.dumps((digest, found, []))))


def _framed(record: bytes) -> bytes:
    return len(record).to_bytes(8, "big") + record


class Inventory:
    """Which files there are. One with the inode, size and times of the last capture is not read again."""

    def __init__(self, known: dict[str, Known], history: list[str], max_file: int, max_total: int) -> None:
        self._known, self._max_file, self._left = known, max_file, max_total
        self._history = tuple(f"{path}/" for path in history)
        self._began_ns = time.time_ns()
        self._handed: set[str] | None = None
        self.found: dict[str, Known] = {}
        self.contents: dict[str, bytes] = {}
        self.files = self.bytes = 0

    def walk(self, top: str, prefix: str) -> None:
        """Take in everything below a directory; links are not followed, sockets and pipes not listed."""
        below = [(top, prefix)]
        while below:
            directory, prefix = below.pop()
            with suppress(OSError), os.scandir(directory) as entries:
                for entry in entries:
                    path = prefix + entry.name
                    try:
                        info = entry.stat(follow_symlinks=False)
                        if not self._take_known(path, info):
                            self.take(path, entry.path, info)
                    except OSError:  # it is gone again
                        continue
                    if stat.S_ISDIR(info.st_mode):
                        below.append((entry.path, path + "/"))

    def _take_known(self, path: str, info: os.stat_result) -> bool:
        """Take in a file that is as it was: nearly all are, so this is what a capture's time is spent on."""
        known = self._known.get(path)
        if known is None or known[:4] != _key(info) or (known[6] and info.st_size <= self._left):
            return False
        self.found[path] = known
        self.files += 1
        self.bytes += info.st_size
        return True

    def take(self, path: str, real: str, info: os.stat_result) -> None:
        """Take in one entry. A directory says nothing of its times."""
        kind = stat.S_IFMT(info.st_mode)
        if kind == stat.S_IFREG:
            self.files += 1
            self.bytes += info.st_size
            self.found[path] = self._read(path, real, info)
        elif kind == stat.S_IFDIR:
            self._take_other(path, (0, info.st_mode, 0, 0), {"kind": "dir"})
        elif kind == stat.S_IFLNK:  # a new one has new times
            self._take_other(
                path,
                (0, info.st_mode, info.st_ino, info.st_ctime_ns),
                {"kind": "link", "target": _text(os.readlink(real))},
            )

    def _take_other(self, path: str, key: tuple[int, int, int, int], what: dict[str, str]) -> None:
        known = self._known.get(path)
        if known is None or known[:4] != key:
            entry = {"path": _text(path), "mode": stat.S_IMODE(key[1]), "size": 0, **what}
            known = (*key, _canonical(entry), (), False)
        self.found[path] = known

    def _read(self, path: str, real: str, info: os.stat_result) -> Known:
        """Hash a file; one that changes meanwhile gets three chances."""
        limit, size = (HISTORY_BYTES, HISTORY_PIECE) if self.is_history(path) else (self._max_file, PIECE)
        sha256, stable = UNKNOWN, False
        pieces: Pieces = []
        for _ in range(3):
            try:
                with open(real, "rb") as file:
                    before = os.fstat(file.fileno())
                    sha256, pieces = _hashed(file, size, keep=before.st_size <= limit)
                    info = os.fstat(file.fileno())
            except OSError:  # gone, or not ours to read
                break
            if stable := (before.st_size, before.st_mtime_ns) == (info.st_size, info.st_mtime_ns):
                break
        entry = {
            "path": _text(path),
            "kind": "file",
            "mode": stat.S_IMODE(info.st_mode),
            "size": info.st_size,
        }
        entry.update(mtime_ns=info.st_mtime_ns, sha256=sha256)
        if self.is_history(path) and not path.startswith("/"):
            entry["transcript"] = True
        return self._noted(entry, info, pieces, stable)

    def _noted(self, entry: dict[str, Any], info: os.stat_result, pieces: Pieces, stable: bool) -> Known:
        key = _key(info)
        if not stable:
            entry, pieces = {**entry, "unstable": True}, []
        if not stable or info.st_ctime_ns > self._began_ns - RACY_NS:
            key = (0, *key[1:])  # no inode has this number: the file is read again next time
        if len(pieces) > 1:
            entry["chunks"] = [sha256 for sha256, _ in pieces]
        return (*key, _canonical(entry), tuple(sha256 for sha256, _ in pieces), not self._hand_out(pieces))

    def _hand_out(self, pieces: Pieces) -> bool:
        """Hand out those pieces of a file that never were, if there is room for all of them."""
        if self._handed is None:
            self._handed = {sha256 for known in self._known.values() if not known[6] for sha256 in known[5]}
        fresh = {sha256: data for sha256, data in pieces if sha256 not in self._handed}
        size = sum(map(len, fresh.values()))
        if size > self._left:
            return False
        self._left -= size
        self._handed.update(fresh)
        self.contents.update(fresh)
        return True

    def is_history(self, path: str) -> bool:
        """Whether it is the agent's history, wherever that lies."""
        return path.startswith("/") or (path + "/").startswith(self._history)

    def digests(self) -> tuple[str, str, str]:
        """Of what all entries say; of what those that are not the agent's history say; of the latter's times."""
        work: list[Known] = []
        history: list[Known] = []
        for path in sorted(self.found):
            (history if self.is_history(path) else work).append(self.found[path])
        digest = hashlib.sha256("\n".join([known[4] for known in work]).encode())
        times = hashlib.sha256("\n".join([f"{known[2]} {known[3]}" for known in work]).encode())
        whole = digest.copy()
        whole.update("\n".join(["\n", *(known[4] for known in history)]).encode())
        return whole.hexdigest(), digest.hexdigest(), times.hexdigest()

    def history(self) -> list[dict[str, Any]]:
        """The files of the agent's history, the one last written to first."""
        files = [known for path, known in self.found.items() if known[5] and self.is_history(path)]
        newest = sorted(files, key=lambda known: known[2], reverse=True)[:HISTORY_TOLD]
        told = ("path", "size", "sha256", "mtime_ns")
        return [{key: entry[key] for key in told} for entry in (json.loads(known[4]) for known in newest)]


def _key(info: os.stat_result) -> tuple[int, int, int, int]:
    return info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _text(path: str) -> str:
    """A path as text that any database takes: bytes that are not UTF-8 are shown as escapes."""
    return path if path.isascii() else os.fsencode(path).decode(errors="backslashreplace")


def _canonical(entry: dict[str, Any]) -> str:
    return json.dumps(entry, separators=(",", ":"))


def _hashed(file: Any, size: int, *, keep: bool) -> tuple[str, Pieces]:
    """The file's hash; where it is to be kept also its pieces of `size` bytes by theirs."""
    first = file.read(size)
    digest = hashlib.sha256(first)
    pieces = [(digest.hexdigest(), first)] if keep else []
    if len(first) == size:  # what is appended after the size was asked makes it unstable
        for piece in iter(lambda: file.read(size), b""):
            digest.update(piece)
            if keep:
                pieces.append((hashlib.sha256(piece).hexdigest(), piece))
    return digest.hexdigest(), pieces


def capture(asked: Any) -> None:
    """Write the manifest of the workspace and the agent's history, with what is new in them.

    OUT is gzip over lines of JSON: a header; an entry per path (sorted), or, when the last capture had the digest
    SINCE, those that came, differ or are gone since; then {"sha256", "content"} with the base64 of contents that were
    not handed out before, as far as there is room. Nothing is written when there is nothing to say. `digest` covers
    what the entries say, `work` those that are not history; `rest` the inodes, sizes and times of all other files of
    the guest, "" when not known. Frozen for these seconds, the agent stays so until `thaw`, that what is said here
    holds while Proxmox takes its snapshot.
    """
    import gc

    gc.disable()  # a short life with many small objects, all of them needed
    os.makedirs(STATE, exist_ok=True)
    seconds = asked.freeze_seconds if asked.freeze else 0
    with locked(f"{STATE}/capture.lock"), held_still(seconds) as frozen:
        os.utime(f"{STATE}/capture.lock")  # when files were last listed, by the guest's own clock
        index, listed = Index(), _transcripts()
        inside = [path[len("/workspace/") :] for path in listed if path.startswith("/workspace/")]
        inventory = Inventory(index.known, inside, asked.max_file, asked.max_total)
        for path in listed:
            _take_history(inventory, path)
        inventory.walk(WORKSPACE, "")
        digest, work, times = inventory.digests()
        rest = rest_of(["/workspace", *listed]) if asked.rest else ""
        lines, changed = _lines(index, inventory.found, asked.since)
        header: dict[str, Any] = {"digest": digest, "files": inventory.files, "bytes": inventory.bytes}
        header["changed"] = changed
        if digest != asked.since or inventory.contents:
            since = {"since": asked.since} if asked.since and asked.since == index.digest else {}
            write_lines(asked.out, [_canonical({**header, **since}), *lines], inventory.contents)
        index.save(digest, inventory.found)
        rest = hashlib.sha256((rest + times).encode()).hexdigest() if rest else ""
        told = {
            "work": work,
            "rest": rest,
            "transcripts": inventory.history(),
            "handed": len(inventory.contents),
        }
        answer({**header, **told, "out": asked.out, "frozen": frozen})


def _take_history(inventory: Inventory, path: str) -> None:
    with suppress(OSError):
        if not path.startswith("/workspace/"):
            info = os.lstat(ROOT + path)
            if stat.S_ISREG(info.st_mode):
                inventory.take(path, ROOT + path, info)
            inventory.walk(ROOT + path, path + "/")


def _lines(index: Index, found: dict[str, Known], since: str) -> tuple[list[str], int]:
    """The lines to hand out, and how many entries came, went or differ since the last capture."""
    known = index.known
    gone = [_canonical({"path": _text(path), "gone": True}) for path in known if path not in found]
    differ = [path for path in found if path not in known or known[path][4] != found[path][4]]
    changed = len(gone) + len(differ)
    if not since or since != index.digest:
        return [found[path][4] for path in sorted(found)], changed
    given = [path for path in found if path in known and known[path][6] and not found[path][6]]
    return [*gone, *(found[path][4] for path in sorted({*differ, *given}))], changed


def _transcripts() -> list[str]:
    """Where the current run's agent keeps its history: files, or directories."""
    run = Run.current()
    listed = (read_json(run.settings) or {}).get("transcripts") if run else None
    return [path.rstrip("/") for path in listed or []]


def rest_of(apart: list[str]) -> str:
    """A digest of all files that are on the guest's disks, but for these and volatile ones; "" when not known.

    Where it takes too long it is not tried again for a while.
    """
    slow = f"{STATE}/slow"
    with suppress(OSError):
        if abs(time.time() - os.stat(slow).st_mtime) < REST_AGAIN_SECONDS:
            return ""
    deadline = time.monotonic() + REST_SECONDS
    skipped = {ROOT + path for path in (*VOLATILE, *apart)} | _mounts_that_are_no_disks()
    digest, below = hashlib.sha256(), [ROOT or "/"]
    while below:
        if time.monotonic() > deadline:
            write_atomically(slow, b"")
            return ""
        lines = list(_files_of(below.pop(), skipped, below))
        digest.update("\n".join(lines).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _files_of(directory: str, skipped: set[str], below: list[str]) -> Iterator[str]:
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.path not in skipped:
                info = entry.stat(follow_symlinks=False)
                yield f"{entry.path}\0{info.st_ino} {info.st_size} {info.st_mtime_ns} {info.st_ctime_ns}"
                if stat.S_ISDIR(info.st_mode):
                    below.append(entry.path)


def _mounts_that_are_no_disks() -> set[str]:
    """Where something is mounted that cannot be written, or that no snapshot of the guest holds (proc(5))."""
    found = set()
    with suppress(OSError), open("/proc/self/mountinfo") as mounts:
        for line in mounts:
            fields, _, source = line.partition(" - ")
            point, options = fields.split()[4:6]
            if not source.split()[1].startswith("/dev/") or "ro" in options.split(","):
                found.add(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), point))
    return found - {"/"}


def contents(out: str, wanted: list[str]) -> None:
    """Write the pieces with these hashes, as far as the files of the last capture still have them."""
    left = set(wanted)
    found: dict[str, bytes] = {}
    for path, known in Index().known.items():
        if not left.isdisjoint(known[5]):
            found.update(_pieces(path, known, left))
            left -= found.keys()
    write_lines(out, [_canonical({"missing": sorted(left)})], found)
    answer({"found": len(found), "missing": sorted(left), "out": out})


def _pieces(path: str, known: Known, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    history = path.startswith("/") or '"transcript":true' in known[4]
    size = HISTORY_PIECE if history else PIECE
    with (
        suppress(OSError),
        open(ROOT + path if path.startswith("/") else f"{WORKSPACE}/{path}", "rb") as file,
    ):
        for number, sha256 in enumerate(known[5]):
            if sha256 in wanted:
                file.seek(number * size)
                piece = file.read(size)
                if hashlib.sha256(piece).hexdigest() == sha256:
                    yield sha256, piece


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
    verbs.choices["apply"].add_argument("--now", type=float)
    verbs.add_parser("assemble").add_argument("target")
    verbs.choices["assemble"].add_argument("count", type=int)
    verbs.choices["assemble"].add_argument("--sha256", default="")
    verbs.add_parser("capture").add_argument("out")
    verbs.choices["capture"].add_argument("--since", default="")
    verbs.choices["capture"].add_argument("--rest", action="store_true")
    verbs.choices["capture"].add_argument("--max-file", type=int, default=32 << 20)
    verbs.choices["capture"].add_argument("--max-total", type=int, default=2 << 20)
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
        "apply": lambda: apply(asked.bundle, asked.now),
        "start": lambda: start(asked.bundle),
        "supervise": lambda: supervise(asked.run),
        "status": status,
        "stop": lambda: stop(asked.grace),
        "capture": lambda: capture(asked),
        "thaw": thaw_current,
        "contents": lambda: contents(asked.out, asked.sha256),
    }
    verbs[asked.verb]()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
