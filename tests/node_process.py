"""The embedded node as a subprocess, for tests and benchmarks: `with start_node(directory) as node: …`."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "autovibe@pve!local=secret-of-the-tests"
# Proxmox's own waiting times would make failing take long; what a test says itself goes before these.
QUICK = {
    "port": 0,
    "token": TOKEN,
    "auth_delay_seconds": 0,
    "agent_seconds": 1,
    "lock_seconds": 2,
    "sweep_seconds": 0.2,
    "free_gib": 100,  # whatever the disk has that the tests run on
}


@dataclass
class NodeProcess:
    """A running node."""

    url: str
    token: str
    name: str
    state: Path
    process: "subprocess.Popen[str]"

    @property
    def headers(self) -> dict[str, str]:
        """What a request must carry."""
        return {"Authorization": f"PVEAPIToken={self.token}"}

    @property
    def log(self) -> str:
        """What the node has written to standard error."""
        return (self.state / "node.log").read_text()

    def kill(self) -> None:
        """End the node as a crash does; its guests go on."""
        self.process.kill()
        self.process.wait()


@contextmanager
def start_node(state: Path, *, keep_guests_running: bool = False, **options: Any) -> Iterator[NodeProcess]:
    """A node on `state`; `options` are those of its command line, with underscores.

    At the end node and guests are gone, unless `keep_guests_running`: a test of restarts starts a second node.
    """
    state.mkdir(parents=True, exist_ok=True)
    chosen = QUICK | options
    command = [sys.executable, "-m", "proxmox.node", "--state", str(state), *_words(chosen)]
    with (state / "node.log").open("a") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        yield NodeProcess(
            _address(process, state), chosen["token"], chosen.get("node_name", "embedded"), state, process
        )
    finally:
        _end(process)
        if not keep_guests_running:
            kill_guests(state)


def kill_guests(state: Path) -> None:
    """End what a killed node has left running."""
    for file in state.glob("guests/*/run/state.json"):
        with contextlib.suppress(ProcessLookupError, ValueError):
            os.kill(json.loads(file.read_text())["pid"], signal.SIGKILL)


def _words(options: dict[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if name == "sandbox":
            yield from () if value else ("--no-sandbox",)
        elif isinstance(value, bool):
            yield from (flag,) if value else ()
        else:
            for each in value if isinstance(value, list | tuple) else (value,):
                yield from (flag, str(each))


def _address(process: "subprocess.Popen[str]", state: Path) -> str:
    assert process.stdout
    line = process.stdout.readline()
    match = re.fullmatch(r"listening on (\S+)\n", line)
    assert match, f"The node did not start: {line}{(state / 'node.log').read_text()}"
    return match[1]


def _end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
