"""The little HTTP that a raw ASGI application needs: read a body, notice a hang-up, send an answer."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from gateway.errors import Refused

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
RawHeaders = list[tuple[bytes, bytes]]


class HungUp(Exception):
    """The client went away."""


class Answer:
    """Wraps `send`, and remembers whether the answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """The head. A stream's length is not announced: what nobody but us had asked for is taken out of it."""
        self.begun = True
        pairs = list(headers)
        if any(name.lower() == b"content-type" and b"event-stream" in value for name, value in pairs):
            pairs = [pair for pair in pairs if pair[0].lower() != b"content-length"]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def write(self, chunk: bytes) -> None:
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def json(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        """A whole answer."""
        content = json.dumps(body).encode()
        pairs = {
            "content-type": "application/json",
            "content-length": str(len(content)),
            **(headers or {}),
        }
        await self.begin(status, [(name.encode(), value.encode()) for name, value in pairs.items()])
        await self.write(content)
        await self.end()


async def read_body(receive: Receive, *, limit: int, keep: bool = True) -> bytes:
    """The request's body; without `keep`, none of it. Raises `Refused` (413) past `limit` bytes, and `HungUp`."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HungUp
        chunk = message.get("body", b"")
        size += len(chunk)
        if keep:
            chunks.append(chunk)
        if size > limit:
            raise Refused(413, f"The request is larger than {limit // 1024**2} MiB.")
        if not message.get("more_body"):
            return b"".join(chunks)


async def hang_up(receive: Receive) -> None:
    """Returns when the client has gone; the body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


def header(scope: Scope, name: bytes) -> str:
    """A request header, or ""; given several times, all of it. Names are lower-case."""
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)


def target(scope: Scope) -> str:
    """What is asked of an upstream: the path, and of the query what Anthropic's clients put there."""
    beta = b"beta=true" in scope["query_string"].split(b"&")
    return f"{scope['path']}?beta=true" if beta else str(scope["path"])


def token(scope: Scope) -> str:
    """What the client shows: `Authorization: Bearer …` or `x-api-key`."""
    scheme, _, bearer = header(scope, b"authorization").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else header(scope, b"x-api-key")
