"""The web process's HTTP: clients that never come to the point are sent away, on real connections."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from autovibe.server import HEADERS_MAX, Http
from tests.gateway.servers import free_socket, until


class Impatient(Http):
    head_seconds = 0.3


async def hello(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"%2d" % (len(body) % 100)})


@pytest.fixture(scope="module")
def address() -> Iterator[Any]:
    listening = free_socket()
    server = uvicorn.Server(uvicorn.Config(hello, http=Impatient, lifespan="off", log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    until(lambda: server.started)
    yield listening.getsockname()
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def client(address: Any) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=10) as connection:
        yield connection


def everything(client: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while piece := client.recv(65536):
            said += piece
    return said


def send(client: socket.socket, said: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        client.sendall(said)


class TestTheHead:
    def test_a_request_is_answered_and_another_after_it(self, client: socket.socket) -> None:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        assert client.recv(1000).endswith(b" 3")
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(1000).endswith(b" 0")

    def test_who_says_nothing_is_sent_away(self, client: socket.socket) -> None:
        assert everything(client) == b""

    def test_who_stops_in_the_middle_is_sent_away(self, client: socket.socket) -> None:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")

        assert everything(client) == b""

    @pytest.mark.parametrize("endless", [b"GET /", b"GET / HTTP/1.1\r\nX-Long: "], ids=["address", "header"])
    def test_what_never_ends_is_refused(self, client: socket.socket, endless: bytes) -> None:
        send(client, endless)
        for _ in range(8):
            send(client, b"x" * (HEADERS_MAX // 4))

        assert b" 200 " not in everything(client)

    def test_so_are_headers_after_the_body(self, client: socket.socket) -> None:
        send(client, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n")
        for _ in range(40):  # what is read together with the body, at most 256 KiB, is not counted
            send(client, b"X-Trailer: " + b"x" * (HEADERS_MAX // 4) + b"\r\n")

        assert b" 200 " not in everything(client)

    def test_a_large_body_is_no_head(self, client: socket.socket) -> None:
        size = 40 * 16384
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        client.sendall(b"x" * size)

        assert b" 200 " in client.recv(1000)
