"""A guest that is a directory, a gateway that is a real HTTP server, and the offline model behind another one."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web

from gateway import offline

PROGRAMS = Path(__file__).parents[2] / "machines" / "guest"
DEADLINE_SECONDS = 20
T = TypeVar("T")


def eventually(look: Callable[[], T], *, seconds: float = DEADLINE_SECONDS) -> T:
    """What `look` returns once it is true; fails after the deadline."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def state(pid: int) -> str:
    """One letter, as in proc(5); Z when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def alive(pid: int) -> bool:
    return state(pid) not in "ZX"


def pids(file: Path) -> list[int]:
    return [int(word) for word in file.read_text().split()] if file.exists() else []


@dataclass
class Gateway:
    """Takes reports as the control plane does, and remembers them."""

    reports: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    status: int = 200
    answer: dict[str, Any] = field(default_factory=dict)
    port: int = 0
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
        self._server = None

    def lines(self) -> list[list[Any]]:
        return [line for report in self.reports for line in report["lines"]]

    def texts(self, stream: str = "out") -> list[str]:
        return [line[3] for line in self.lines() if line[2] == stream]

    def ended(self) -> dict[str, Any] | None:
        return next((report["ended"] for report in self.reports if report["ended"]), None)

    def _handler(gateway) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                report = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if gateway.status == 200:
                    gateway.reports.append(report)
                    gateway.tokens.append(self.headers["authorization"])
                body = json.dumps(gateway.answer).encode()
                self.send_response(gateway.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


@dataclass
class Guest:
    """A guest without a machine: a directory that the programs take for their root."""

    root: Path
    prefix: tuple[str, ...] = ()  # what its programs are started by

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    @property
    def state(self) -> Path:
        return self.root / "var/lib/autovibe"

    def runner(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env=self.env(), capture_output=True, text=True, timeout=60, check=False
        )

    def popen(self, *arguments: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command(*arguments), env=self.env())

    def command(self, *arguments: object) -> list[str]:
        python = os.environ.get("AUTOVIBE_GUEST_PYTHON", sys.executable)
        return [*self.prefix, python, str(PROGRAMS / "runner.py"), *map(str, arguments)]

    def tell(self, *arguments: object) -> dict[str, Any]:
        """The runner's answer to a command that is to succeed."""
        done = self.runner(*arguments)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def env(self, **more: str) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "GUEST_ROOT": str(self.root), **more}

    def bundle(self, command: str = "true", *, gateway: str = "http://127.0.0.1:9", **more: Any) -> Path:
        bundle = {"run": str(uuid.uuid4()), "machine": "m12", "gateway": gateway, "token": "avm_secret"}
        bundle |= {"prompt": "Say hello", "command": command, "env": {"SECRET": "avm_secret"}, **more}
        path = self.root / "bundle.json"
        path.write_text(json.dumps(bundle))
        return path

    def run(self, name: Path) -> Path:
        return self.state / "runs" / json.loads(name.read_text())["run"]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    gateway = Gateway()
    gateway.open()
    yield gateway
    gateway.close()


@pytest.fixture
def guest(tmp_path: Path, gateway: Gateway) -> Iterator[Guest]:
    """The gateway outlives it, so that what still runs in it can say goodbye."""
    root = tmp_path / "guest"
    (root / "workspace").mkdir(parents=True)
    guest = Guest(root)
    yield guest
    guest.runner("stop", "--grace", "0")


@dataclass
class OfflineModel:
    """The offline model over HTTP, with what it was asked; `refusals` are answered first."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[web.Response] = field(default_factory=list)

    async def messages(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.requests.append(body)
        if self.refusals:
            return self.refusals.pop(0)
        answer = await offline.respond(body)
        if body.get("stream"):
            return web.Response(body=b"".join(offline.stream(answer)), content_type="text/event-stream")
        return web.json_response(answer)

    def serve(self, ready: threading.Event, stop: threading.Event) -> None:
        asyncio.run(self._serve(ready, stop))

    async def _serve(self, ready: threading.Event, stop: threading.Event) -> None:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/v1/messages", self.messages)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await asyncio.to_thread(stop.wait)
        await runner.cleanup()


@pytest.fixture
def model() -> Iterator[OfflineModel]:
    model, ready, stop = OfflineModel(), threading.Event(), threading.Event()
    thread = threading.Thread(target=model.serve, args=(ready, stop), daemon=True)
    thread.start()
    assert ready.wait(DEADLINE_SECONDS)
    yield model
    stop.set()
    thread.join(DEADLINE_SECONDS)
