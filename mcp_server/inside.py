"""One request to an ASGI application in this process, on behalf of a request that came from outside."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Who asks, from where, and under which id. Cookies stay outside: MCP is spoken with tokens only.
FORWARDED = frozenset(
    {
        b"authorization",
        b"forwarded",
        b"host",
        b"user-agent",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-request-id",
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def retry_after(self) -> float | None:
        """In how many seconds it may be asked again, where that is said."""
        said = dict(self.headers).get(b"Retry-After", b"").decode()
        return float(said) if said.isdecimal() else None


async def ask(
    application: Application,
    outer: Scope,
    method: str,
    path: str,
    *,
    query: bytes = b"",
    body: bytes = b"",
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Answer:
    """Ask the application as if the caller of `outer` had."""
    forwarded = [(name, value) for name, value in outer["headers"] if name in FORWARDED]
    scope = {
        **{name: outer[name] for name in ("client", "server", "scheme") if outer.get(name)},
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "root_path": "",
        "path": path,
        "raw_path": quote(path).encode(),
        "query_string": query,
        "headers": [*forwarded, (b"accept", b"*/*"), (b"content-length", b"%d" % len(body)), *headers],
    }
    return await _Exchange(body).run(application, scope)


class _Exchange:
    """Both ends of the one request."""

    def __init__(self, body: bytes) -> None:
        self._unread: bytes | None = body
        self._answer = Answer(500, [], b"")
        self._chunks: list[bytes] = []

    async def run(self, application: Application, scope: Scope) -> Answer:
        await application(scope, self._receive, self._send)
        return Answer(self._answer.status, self._answer.headers, b"".join(self._chunks))

    async def _receive(self) -> dict[str, Any]:
        if self._unread is None:
            await asyncio.Event().wait()  # nobody hangs up in here; who asked is cancelled instead
        body, self._unread = self._unread, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def _send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._answer = Answer(message["status"], list(message["headers"]), b"")
        elif message["type"] == "http.response.body":
            self._chunks.append(message.get("body", b""))
