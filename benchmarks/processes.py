"""Servers that a benchmark starts: each with a log of its own, gone with the benchmark, its CPU time to be read."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from autovibe.embedded.lifeline import die_with_parent

READY_SECONDS = 120.0


@contextmanager
def started(
    argv: Sequence[str], log: Path, *, answers: str, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a server until the block ends; yields its pid once `answers`, an address, answers at all.

    `env` is added to this process's environment. Raises `RuntimeError` with the end of the log when it does not start.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            env={**os.environ, **(env or {})},
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
    try:
        _await_answer(process, answers, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, of all that came of it, and of those of them that have ended."""
    try:
        root = psutil.Process(pid)
        return sum(sum(each.cpu_times()[:4]) for each in (root, *root.children(recursive=True)))
    except psutil.NoSuchProcess:  # one ended while we looked; its parent has its time now
        return cpu_seconds(pid) if psutil.pid_exists(pid) else 0.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_answer(process: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if _answers(address):
            return
        time.sleep(0.1)
    raise RuntimeError(f"{process.args!r} does not start:\n{log.read_text(errors='replace')[-2000:]}")


def _answers(address: str) -> bool:
    scheme, _, rest = address.partition("://")
    if scheme != "http":
        host, _, port = rest.partition(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
