"""A server that says what a test scripts, for answers that no well-behaved node gives. It keeps what it was asked."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Answer:
    """What to say. `hang_up`: close the connection without an answer. `silently`: close it after the answer, untold."""

    status: int = 200
    body: str = '{"data":null}'
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False
    silently: bool = False


Script = Callable[[Asked], Answer]


@dataclass
class Server:
    url: str
    port: int
    asked: list[Asked]


@contextmanager
def scripted(script: Script, *, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server on the loopback interface for as long as the context lasts."""
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            request = Asked(
                self.command, self.path, dict(self.headers.items()), self.rfile.read(length).decode("latin-1")
            )
            asked.append(request)
            answer = script(request)
            self.close_connection = answer.hang_up or answer.silently
            if not answer.hang_up:
                self._say(answer)

        def _say(self, answer: Answer) -> None:
            body = answer.body.encode()
            self.send_response(answer.status, answer.reason or None)
            for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = handle_one

        def log_message(self, *args: object) -> None:
            """Quiet."""

    class Listener(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            """A client that hangs up during the handshake is what some tests are about."""

        def finish_request(self, request: object, client_address: object) -> None:
            # The handshake belongs to the connection's own thread.
            wrapped = tls.wrap_socket(request, server_side=True) if tls else request  # type: ignore[arg-type]
            super().finish_request(wrapped, client_address)  # type: ignore[arg-type]

    server = Listener(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        number = server.server_address[1]
        yield Server(f"{'https' if tls else 'http'}://127.0.0.1:{number}", number, asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
