"""How much a request may send, how slowly, and how many sockets one user may have open: asked before Django is.

Django takes a body down, on disk if need be, before it knows who sends it. The gateway has limits of its own.
"""

import asyncio
import re
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from autovibe import problems
from autovibe.server import HEADERS_MAX

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

SMALL = 2 * 1024**2
# A machine's files, in base64, and the rest of the form.
LARGE = settings.MACHINE_FILES_BYTES_MAX * 4 // 3 + SMALL
WITH_FILES = re.compile(
    r"/machines/new/|/checkpoints/[^/]+/branch/|/api/v1/(machines|checkpoints/[^/]+/branch)/"
)
GRACE_SECONDS, SLOWEST = 20.0, 16 * 1024  # of a body; bytes a second
SOCKETS_OF_ONE = 40  # in one process; a page has one or two
TOO_MANY = 4429


def bodies(application: Application) -> Application:
    """The application, for requests whose size and pace are sensible; others are answered 413, 431 or 408."""

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
        elif _head(scope) > HEADERS_MAX:
            await _refuse(431, f"Address and headers have more than {HEADERS_MAX // 1024} KiB.", scope, send)
        else:
            await _Body(scope, receive, send).given_to(application)

    return limited


def limit_of(path: str) -> int:
    """How many bytes may be sent there."""
    return LARGE if WITH_FILES.fullmatch(path) else SMALL


class _Body:
    """One request's, as it comes."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._limit = limit_of(scope["path"])
        self._began, self._size = time.monotonic(), 0
        self._whole = self._begun = self._refused = False

    async def given_to(self, application: Application) -> None:
        if _announced(self._scope) > self._limit:
            await self._refuse(413)
        else:
            await application(self._scope, self._next, self._answer)

    async def _next(self) -> dict[str, Any]:
        if self._refused:
            return {"type": "http.disconnect"}
        try:
            async with asyncio.timeout(self._patience()):
                message = await self._receive()
        except TimeoutError:
            return await self._cut_off(408)
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        return await self._cut_off(413) if self._size > self._limit else message

    def _patience(self) -> float | None:
        """Seconds that the next piece may take. Once the body is whole, only its sender's leaving can come."""
        if self._whole:
            return None
        return max(self._began + GRACE_SECONDS + self._size / SLOWEST - time.monotonic(), 0)

    async def _cut_off(self, status: int) -> dict[str, Any]:
        """To the application it is as if its client had left."""
        if not self._begun:
            await self._refuse(status)
        self._refused = True
        return {"type": "http.disconnect"}

    async def _answer(self, message: Mapping[str, Any]) -> None:
        if not self._refused:
            self._begun = True
            await self._send(message)

    async def _refuse(self, status: int) -> None:
        sentence = f"The request is larger than {self._limit // 1024**2} MiB, the most that may be sent here."
        if status == 408:
            sentence = f"The request came too slowly: less than {SLOWEST // 1024} KiB a second."
        await _refuse(status, sentence, self._scope, self._send)


def _head(scope: Scope) -> int:
    names_and_values = sum(len(name) + len(value) for name, value in scope["headers"])
    return len(scope.get("raw_path") or b"") + len(scope["query_string"]) + names_and_values


def _announced(scope: Scope) -> int:
    """The Content-Length; 0 where none is said, or nonsense: what comes is counted anyway."""
    said = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(said) if said.isdigit() and len(said) < 20 else 0


async def _refuse(status: int, sentence: str, scope: Scope, send: Send) -> None:
    request = HttpRequest()
    request.request_id = uuid.uuid4().hex  # type: ignore[attr-defined]
    kinds = {408: "too-slow", 413: "too-large", 431: "too-large"}
    if scope["path"].startswith("/api/"):
        answer = problems.problem(status, kinds[status], sentence, request)
        content, kind = answer.content, "application/problem+json"
    else:
        content, kind = f"{sentence}\n".encode(), "text/plain; charset=utf-8"
    headers = {"content-type": kind, "content-length": str(len(content)), "x-content-type-options": "nosniff"}
    headers["x-request-id"] = request.request_id  # type: ignore[attr-defined]
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    # What is too slow is not waited for; what is too large is, or its sender would hear of no answer.
    closing = [(b"connection", b"close")] if status == 408 else []
    await send({"type": "http.response.start", "status": status, "headers": [*pairs, *closing]})
    await send({"type": "http.response.body", "body": content})


def sockets(application: Application) -> Application:
    """The application of WebSockets whose user is known, as many of them for one user as are sensible."""
    open_ones: Counter[object] = Counter()

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        user = scope["user"].pk
        if user is not None and open_ones[user] >= SOCKETS_OF_ONE:
            await receive()  # the handshake
            await send({"type": "websocket.accept"})  # a refused one has no code that the page could read
            await send({"type": "websocket.close", "code": TOO_MANY})
            return
        open_ones[user] += 1
        try:
            await application(scope, receive, send)
        finally:
            open_ones[user] -= 1
            if not open_ones[user]:
                del open_ones[user]

    return limited
