"""A small HTTP server that gives recorded answers of the API, and the real command line run against it."""

import json
import os
import subprocess
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "bin" / "autovibe"
TOKEN = "av_recorded"
LOST = object()  # the connection is closed instead of an answer
API = "/api/v1/"


@dataclass
class Asked:
    """One request, as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Recorded:
    """Answers by method and path, given in turn; the last one again and again."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, list[tuple[int, Any]]] = field(default_factory=lambda: defaultdict(list))
    otherwise: Any = None  # the answer to everything else
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, request: str, *bodies: Any, status: int = 200) -> None:
        """`answer("GET machines/m12/", {...}, {...})`"""
        self.answers[request] += [(status, body) for body in bodies]

    def refuse(self, request: str, status: int, sentence: str) -> None:
        problem = {"type": "urn:autovibe:x", "status": status, "detail": sentence, "request_id": "req-1"}
        self.answer(request, problem, status=status)

    def requests(self, request: str) -> list[Asked]:
        return [one for one in self.asked if f"{one.method} {one.path}" == request]

    def start(self) -> None:
        """Also again, on the same port, after a stop."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, request: str) -> tuple[int, Any]:
        given = self.answers.get(request)
        if not given and self.otherwise is not None:
            return 200, self.otherwise
        if not given:
            return 404, {"detail": f"Nothing is recorded for {request}.", "request_id": "req-0"}
        return given.pop(0) if len(given) > 1 else given[0]


def _handler(recorded: Recorded) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            address = urlsplit(self.path)
            path = address.path.removeprefix(API)
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query, headers = dict(parse_qsl(address.query)), dict(self.headers)
            body = json.loads(sent) if sent else None
            recorded.asked.append(Asked(self.command, path, query, headers, body))
            status, answer = recorded.take(f"{self.command} {path}")
            if answer is not LOST:
                self._write(status, answer)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

        def _write(self, status: int, answer: Any) -> None:
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            if status in {301, 302, 307}:
                self.send_header("Location", "https://elsewhere.example/")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def environment(home: Path, **more: str) -> dict[str, str]:
    """Nobody's settings but the test's: home is empty, no server is running here."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "LC_ALL"}}
    return {**kept, "HOME": str(home), "AUTOVIBE_VAR": str(home / "var"), **more}


def run(
    arguments: tuple[str, ...],
    *,
    env: dict[str, str],
    stdin: str | None = None,
    cwd: Path = ROOT,
    program: Path = PROGRAM,
) -> subprocess.CompletedProcess[str]:
    given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    return subprocess.run(
        [str(program), *arguments],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **given,
    )


def machine(**changed: Any) -> dict[str, Any]:
    """A machine as the API shows it."""
    return {
        "id": "3f0c1a52-0c1f-4b7e-9c39-0d8d6a3f9e11",
        "currency": "USD",
        "prediction": None,
        "handle": "m12",
        "title": "Write a fizzbuzz",
        "project": "demo",
        "type": "vibe",
        "prompt": "Write a fizzbuzz\nwith tests",
        "model": "",
        "state": "running",
        "paused_for": "",
        "sentence": "",
        "verbs": ["checkpoint", "pause", "rollback", "terminate"],
        "source": "demo.c0",
        "present": "m12.c3",
        "continues": False,
        "exit_code": None,
        "wall_seconds": 14400,
        "network": "sealed",
        "vmid": 10012,
        "node": "pve1",
        "power": "running",
        "observed_at": "2025-05-06T07:08:09Z",
        "created_at": "2025-05-06T07:00:00.123456Z",
        "run_started_at": "2025-05-06T07:01:00Z",
        "heard_at": "2025-05-06T07:08:08Z",
        "ended_at": None,
    } | changed


def operation(**changed: Any) -> dict[str, Any]:
    """An operation as the API shows it."""
    return {
        "id": "9a8f6d1e-2f0b-4f64-8d0e-1b1f6a7c0001",
        "verb": "resume",
        "subject": "machine:3f0c1a52-0c1f-4b7e-9c39-0d8d6a3f9e11",
        "status": "running",
        "step": "thaw",
        "attempts": 1,
        "upid": "",
        "error": "",
        "warnings": "",
        "requested_by": "alice",
        "created_at": "2025-05-06T07:09:00Z",
        "started_at": "2025-05-06T07:09:01Z",
        "finished_at": None,
    } | changed


def budget(**changed: Any) -> dict[str, Any]:
    """A limit as the API shows it."""
    return {
        "id": 1,
        "kind": "project",
        "scope": "Project demo",
        "machine_id": None,
        "member_id": None,
        "resource": "money",
        "period": "total",
        "timezone": "UTC",
        "carry_over": False,
        "landing_percent": 5,
        "marks": [50, 75, 90],
        "limit": 20_000_000,
        "reserved": 0,
        "spent": 0,
        "overrun": 0,
        "left": 20_000_000,
        "percent": 0,
        "starts_at": "2025-05-06T07:00:00Z",
        "ends_at": None,
        "exhausted_at": None,
    } | changed


def page(state: str, *texts: str, first: int = 1) -> dict[str, Any]:
    """A page of a machine's log."""
    run_id, at = "5d5f0d6a-0000-4000-8000-000000000001", "2025-05-06T07:01:02Z"
    lines = [
        {"id": number, "run": run_id, "number": number, "at": at, "stream": "out", "text": text}
        for number, text in enumerate(texts, first)
    ]
    return {"state": state, "lines": lines}
