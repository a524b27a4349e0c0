"""HTTP to upstreams: one session per event loop, and which headers pass in either direction."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import aiohttp
from django.utils import timezone

from gateway.upstreams import outgoing
from gateway.upstreams.registry import Target

RawHeaders = Iterable[tuple[bytes, bytes]]

# Said between two hops only (RFC 9110 §7.6.1).
_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# The client's own name, its worthless token, what aiohttp or we say instead, and whose account it is: that is the
# key's business, and a guest that names another one would have the key refused.
_NOT_FORWARDED = _HOP | {
    b"host",
    b"content-length",
    b"expect",
    # The body is our own writing.
    b"content-type",
    b"content-encoding",
    b"authorization",
    b"x-api-key",
    b"cookie",
    b"accept-encoding",
    b"forwarded",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
    b"openai-organization",
    b"openai-project",
}
_NOT_RETURNED = _HOP | {
    b"set-cookie",
    b"openai-organization",
    b"openai-project",
    b"anthropic-organization-id",
}
_TYPE = [("content-type", "application/json")]
_NUMBER = re.compile(r"\d{1,9}(\.\d*)?")
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=600)

_sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}


@dataclass(frozen=True, slots=True)
class Response:
    """An answer whose body has not been read. Until it is, the sender is slowed down by TCP."""

    status: int
    headers: list[tuple[bytes, bytes]]
    request_id: str
    chunks: AsyncIterator[bytes]
    streams: bool
    retry_after: float | None = None  # seconds, as the upstream asks for
    retryable: bool = True  # False: the upstream says that asking again is of no use


class NotSent(Exception):
    """The upstream could not be reached; it has not seen the request."""


class BrokenOff(Exception):
    """The connection ended early; the upstream may have done, and billed, all of it."""


@asynccontextmanager
async def ask(
    target: Target, method: str, path: str, *, dialect: str, headers: RawHeaders = (), body: bytes = b""
) -> AsyncIterator[Response]:
    """Send a request. Raises `NotSent` or `BrokenOff`, also while the chunks are read."""
    try:
        async with _session().request(
            method,
            target.base_url + path,
            headers=[*_forwarded(headers), *_TYPE[: bool(body)], *_authorization(target, dialect)],
            data=body or None,
            allow_redirects=False,
        ) as response:
            yield _read(response)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
        raise NotSent(f"The model provider cannot be reached: {error}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise BrokenOff(f"The connection to the model provider broke off: {error!r}") from error


async def close() -> None:
    """Close this event loop's session."""
    if session := _sessions.pop(asyncio.get_running_loop(), None):
        await session.close()


def _session() -> aiohttp.ClientSession:
    """Made on first use: not every ASGI server tells when it starts."""
    loop = asyncio.get_running_loop()
    if loop not in _sessions:
        _sessions[loop] = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, socket_factory=outgoing.connecting),
            timeout=_TIMEOUT,
            auto_decompress=False,
        )
    return _sessions[loop]


def _read(response: aiohttp.ClientResponse) -> Response:
    said = response.headers
    return Response(
        status=response.status,
        headers=[(name, value) for name, value in response.raw_headers if name.lower() not in _NOT_RETURNED],
        request_id=said.get("request-id") or said.get("x-request-id") or "",
        chunks=response.content.iter_any(),
        streams=response.content_type == "text/event-stream",
        retry_after=retry_after(said.get("retry-after-ms"), said.get("retry-after")),
        retryable=said.get("x-should-retry") != "false",
    )


def retry_after(milliseconds: str | None, seconds: str | None) -> float | None:
    """Seconds, milliseconds (a header of OpenAI's), or a date (RFC 9110 §10.2.3)."""
    if milliseconds and _NUMBER.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    if seconds is None or _NUMBER.fullmatch(seconds):
        return float(seconds) if seconds else None
    try:
        return max((parsedate_to_datetime(seconds) - timezone.now()).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _forwarded(headers: RawHeaders) -> list[tuple[str, str]]:
    kept = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name.lower() not in _NOT_FORWARDED
    ]
    # Compressed, the usage figures could not be read.
    return [*kept, ("accept-encoding", "identity")]


def _authorization(target: Target, dialect: str) -> list[tuple[str, str]]:
    """Each dialect has a header of its own for the key; servers of one's own often know OpenAI's only."""
    if not target.secret:
        return []
    bearer = ("authorization", f"Bearer {target.secret}")
    if dialect != "messages":
        return [bearer]
    return [("x-api-key", target.secret), *([bearer] if target.free else [])]
