"""What a request may send before anybody asks whose it is, and how many sockets one user has."""

import asyncio
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator

from autovibe import limits

MIB = 1024**2


async def count(scope: Any, receive: Any, send: Any) -> None:
    """Answers how many bytes it was sent; as Django, it stops when the client leaves."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


class Request:
    """One request to `count`, behind the limits."""

    def __init__(self, path: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": list(headers),
        }
        self.client = ApplicationCommunicator(limits.bodies(count), scope)

    async def send(self, size: int, *, more: bool = False) -> None:
        await self.client.send_input({"type": "http.request", "body": bytes(size), "more_body": more})

    async def answer(self) -> tuple[int, bytes, dict[bytes, bytes]]:
        head = await self.client.receive_output(timeout=5)
        body = await self.client.receive_output(timeout=5)
        await self.client.wait(timeout=5)
        return head["status"], body["body"], dict(head["headers"])


class TestSize:
    async def test_what_is_small_gets_through(self) -> None:
        request = Request("/api/v1/operations/")
        await request.send(MIB, more=True)
        await request.send(MIB)

        assert (await request.answer())[:2] == (200, str(2 * MIB).encode())

    async def test_what_says_that_it_is_too_large_is_refused_unread(self) -> None:
        request = Request("/sign-in/", ((b"content-length", b"3000000"),))

        status, body, headers = await request.answer()

        assert status == 413
        assert b"larger than 2 MiB" in body
        assert headers[b"content-type"].startswith(b"text/plain")

    async def test_what_turns_out_too_large_is_cut_off(self) -> None:
        request = Request("/sign-in/")
        await request.send(MIB, more=True)
        await request.send(MIB, more=True)
        await request.send(1, more=True)

        assert (await request.answer())[0] == 413

    async def test_over_rest_it_is_a_problem(self) -> None:
        request = Request("/api/v1/operations/", ((b"content-length", b"3000000"),))

        status, body, headers = await request.answer()

        assert (status, headers[b"content-type"]) == (413, b"application/problem+json")
        assert b'"urn:autovibe:too-large"' in body

    @pytest.mark.parametrize(
        "path",
        [
            "/machines/new/",
            "/api/v1/machines/",
            "/checkpoints/m1.c2/branch/",
            "/api/v1/checkpoints/m1.c2/branch/",
        ],
    )
    async def test_where_files_are_sent_it_may_be_more(self, path: str) -> None:
        request = Request(path)
        await request.send(40 * MIB)

        assert (await request.answer())[:2] == (200, str(40 * MIB).encode())

    def test_whatever_a_machine_may_start_with_fits(self, settings: Any) -> None:
        assert limits.limit_of("/api/v1/machines/") > settings.MACHINE_FILES_BYTES_MAX * 4 / 3
        assert settings.DATA_UPLOAD_MAX_MEMORY_SIZE > limits.LARGE

    async def test_headers_have_an_end(self) -> None:
        request = Request("/", ((b"cookie", b"x" * 70_000),))

        assert (await request.answer())[0] == 431


class TestPace:
    async def test_who_stops_sending_is_not_waited_for(self, monkeypatch: Any) -> None:
        monkeypatch.setattr(limits, "GRACE_SECONDS", 0.05)
        request = Request("/sign-in/")
        await request.send(1, more=True)

        status, _, headers = await request.answer()

        assert (status, headers[b"connection"]) == (408, b"close")

    async def test_an_answer_may_take_its_time(self, monkeypatch: Any) -> None:
        monkeypatch.setattr(limits, "GRACE_SECONDS", 0.02)
        told = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            leaves = asyncio.create_task(receive())
            await asyncio.wait({leaves}, timeout=0.2)
            assert not leaves.done()
            leaves.cancel()
            told.set()

        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
        client = ApplicationCommunicator(limits.bodies(slow), scope)
        await client.send_input({"type": "http.request", "body": b"", "more_body": False})
        await client.wait(timeout=5)

        assert told.is_set()


class TestSockets:
    async def test_one_user_has_so_many_and_others_are_not_the_fewer(self, monkeypatch: Any) -> None:
        monkeypatch.setattr(limits, "SOCKETS_OF_ONE", 2)

        async def listening(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await receive()

        behind = limits.sockets(listening)

        async def opened(user: Any) -> ApplicationCommunicator:
            socket = ApplicationCommunicator(behind, {"type": "websocket", "user": user})
            await socket.send_input({"type": "websocket.connect"})
            assert (await socket.receive_output(timeout=5))["type"] == "websocket.accept"
            return socket

        alice, bob = type("User", (), {"pk": 1})(), type("User", (), {"pk": 2})()
        first, _ = await opened(alice), await opened(alice)

        third = await opened(alice)
        assert await third.receive_output(timeout=5) == {"type": "websocket.close", "code": limits.TOO_MANY}
        assert await (await opened(bob)).receive_nothing()

        await first.send_input({"type": "websocket.disconnect", "code": 1001})
        await first.wait(timeout=5)
        assert await (await opened(alice)).receive_nothing()
