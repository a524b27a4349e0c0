"""The whole of autovibe in real processes, for tests and benchmarks: node, web, worker and hub on one database."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import requests
from psycopg import sql

from tests.node_operator import NodeOperator
from tests.node_process import kill_guests

ROOT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "correct-horse-battery"
NODE_SECRET = "node-secret"


@dataclass
class Stack:
    """Addresses, keys and processes. Processes are started and killed as whole groups."""

    home: Path
    environment: dict[str, str]
    url: str
    node_url: str
    commands: dict[str, list[str]]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    token: str = ""

    def start(self, name: str) -> None:
        log = (self.home / f"{name}.log").open("ab")
        environment = {**self.environment, "PGAPPNAME": f"autovibe {name}"}
        self.processes[name] = subprocess.Popen(
            self.commands[name], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )

    def await_pages(self) -> None:
        """Until the web process answers, whatever the other parts do."""
        port = int(self.url.rpartition(":")[2])
        eventually(lambda: _answers(port), what="the web process")

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send the part's whole process group a signal, and see it end; a deaf one is killed."""
        process = self.processes.pop(name)
        os.killpg(process.pid, number)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(errors="replace")

    def manage(self, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """One request to the API, signed in as the admin."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return requests.request(method, f"{self.url}/api/v1/{path}", headers=headers, timeout=30, **options)

    def get(self, path: str, **parameters: Any) -> Any:
        response = self.call("GET", path, params=parameters)
        assert response.ok, response.text
        return response.json()

    def post(
        self, path: str, body: dict[str, Any] | None = None, *, expect: int = 202, **options: Any
    ) -> Any:
        response = self.call("POST", path, json=body or {}, **options)
        assert response.status_code == expect, f"{response.status_code} {response.text}"
        return response.json()

    def spawn(self, prompt: str, kind: str = "vibe", **more: Any) -> str:
        """Spawn in the project demo; returns the handle."""
        handle: str = self.post("machines/", {"project": "demo", "type": kind, "prompt": prompt, **more})[
            "handle"
        ]
        return handle

    def await_state(self, handle: str, *states: str, seconds: float = 60) -> dict[str, Any]:
        """The machine, once it is in one of the states (or has ended otherwise)."""

        def look() -> dict[str, Any] | None:
            machine: dict[str, Any] = self.get(f"machines/{handle}/")
            return machine if machine["state"] in {*states, "failed"} else None

        machine = eventually(look, seconds=seconds, what=f"{handle} to be {' or '.join(states)}")
        log = self.get(f"machines/{handle}/log/", tail=1)["lines"][-30:]
        assert machine["state"] in states, f"{machine['sentence']}\n" + "\n".join(
            line["text"] for line in log
        )
        return machine

    @property
    def operator(self) -> NodeOperator:
        """Who may do at the node what no token may; it has to run with `--faults`."""
        return NodeOperator(self.node_url, self.environment["PROXMOX_TOKEN"])

    def story(self, handle: str) -> str:
        """What can be known of a machine: for the message of a test that waited for it in vain."""
        machine = self.get(f"machines/{handle}/")
        operations = self.get("operations/", page_size=20)["results"]
        lines = self.get(f"machines/{handle}/log/", tail=1)["lines"][-20:]
        return "\n".join(
            [
                json.dumps(machine, indent=1),
                *(json.dumps(operation) for operation in operations),
                *(f"{line['at']} {line['text']}" for line in lines),
                *(f"--- {name}\n{self.log(name)[-4000:]}" for name in self.commands),
            ]
        )

    def switch_off(self, handle: str) -> None:
        """Take the power from a machine's VM, as Proxmox's own page does: nobody tells autovibe."""
        machine = self.get(f"machines/{handle}/")
        status = f"{self.node_url}/api2/json/nodes/{machine['node']}/qemu/{machine['vmid']}/status"
        headers = {"Authorization": f"PVEAPIToken={self.environment['PROXMOX_TOKEN']}"}
        requests.post(f"{status}/stop", headers=headers, timeout=10).raise_for_status()

        def power() -> str:
            answer = requests.get(f"{status}/current", headers=headers, timeout=10)
            return str(answer.json()["data"]["status"])

        eventually(lambda: power() == "stopped", what=f"the VM of {handle} to be off")

    def checkpoints(self, handle: str) -> list[dict[str, Any]]:
        """The machine's checkpoints, oldest first."""
        found = self.get("checkpoints/", machine=handle, page_size=200)["results"]
        return sorted(found, key=lambda one: int(one["number"]))


def eventually(look: Callable[[], Any], *, seconds: float = 30, what: str = "it") -> Any:
    """What `look` returns once it is true; fails after a deadline."""
    deadline, pause = time.monotonic() + seconds, 0.05
    while True:
        if found := look():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {seconds:.0f} s for {what}.")
        time.sleep(pause)
        pause = min(pause * 1.3, 0.5)


@contextmanager
def running(home: Path, database: str, *, node: tuple[str, ...] = (), **settings: str) -> Iterator[Stack]:
    """Start everything on an existing, migrated database; stop and remove all of it at the end.

    `node`: further options of the embedded node's command line.
    """
    web_port, node_port = _free_port(), _free_port()
    stack = _stack(home, database, web_port, node_port, settings)
    stack.commands["node"] += node
    try:
        stack.start("node")
        eventually(lambda: _answers(node_port), what="the node")
        stack.manage("bootstrap", "--cli-config", str(home / "cli.json"), "--url", stack.url)
        stack.token = json.loads((home / "cli.json").read_text())["token"]
        for name in ("web", "worker", "hub"):
            stack.start(name)
        eventually(lambda: _healthy(stack), seconds=60, what="the stack")
        yield stack
    finally:
        for name in list(stack.processes)[::-1]:
            # The workers take ten seconds to end by themselves, and what they have under way is of no use any more.
            stack.kill(name, signal.SIGTERM if name == "node" else signal.SIGKILL)
        kill_guests(home / "node")


@contextmanager
def web_alone(home: Path, database: str, *, port: int = 0, **settings: str) -> Iterator[Stack]:
    """The same with the web process as the only part, and not started yet: nobody changes what the database says."""
    stack = _stack(home, database, port or _free_port(), _free_port(), settings)
    try:
        yield stack
    finally:
        for name in list(stack.processes):
            stack.kill(name)


def _stack(home: Path, database: str, web_port: int, node_port: int, settings: dict[str, str]) -> Stack:
    url, node_url = f"http://127.0.0.1:{web_port}", f"http://127.0.0.1:{node_port}"
    python = sys.executable
    return Stack(
        home=home,
        url=url,
        node_url=node_url,
        environment={
            **{name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")},
            "DATABASE_URL": database,
            "SECRET_KEY": "only-for-tests-" + "x" * 40,
            "PROXMOX_URL": node_url,
            "PROXMOX_TOKEN": f"autovibe@pve!local={NODE_SECRET}",
            "PROXMOX_NODE_TOKEN": f"autovibe@pve!local={NODE_SECRET}",
            "AUTOVIBE_GATEWAY_URL": url,
            "AUTOVIBE_ADMIN_PASSWORD": PASSWORD,
            "DEBUG": "1",
            "API_RATE": "0",  # tests look more often than anybody else would
            "PYTHONUNBUFFERED": "1",
            "CHECKPOINT_PROOFS_AT_ONCE": "0",  # tests count guests
            **settings,
        },
        commands={
            "node": [python, "manage.py", "node", "--state", str(home / "node"), "--port", str(node_port),
                     "--token", f"autovibe@pve!local={NODE_SECRET}", "--free-gib", "100"],
            "web": [python, "-m", "autovibe.server", "--port", str(web_port)],
            "worker": [python, "manage.py", "qcluster"],
            "hub": [python, "manage.py", "hub"],
        },
    )  # fmt: skip


@contextmanager
def database_copy(template: str, name: str) -> Iterator[str]:
    """A database of its own, cloned from a migrated one; yields its address."""
    server = urlsplit(os.environ["DATABASE_URL"])._replace(path="/postgres").geturl()
    with psycopg.connect(server, autocommit=True) as connection:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        connection.execute(drop)
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        yield urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
        connection.execute(drop)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _healthy(stack: Stack) -> bool:
    for name, process in stack.processes.items():
        assert process.poll() is None, f"{name} ended:\n{stack.log(name)[-3000:]}"
    try:
        return requests.get(f"{stack.url}/healthz", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False
