"""The provider: one HTTP session per event loop, and which headers pass in either direction."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from django.conf import settings

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
# The client's own name, its worthless token, and what aiohttp or we say instead.
_NOT_FORWARDED = _HOP | {
    b"host",
    b"content-length",
    b"expect",
    b"authorization",
    b"x-api-key",
    b"cookie",
    b"accept-encoding",
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
}
_NOT_RETURNED = _HOP | {b"set-cookie"}
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


class NotSent(Exception):
    """The provider could not be reached; it has not seen the request."""


class BrokenOff(Exception):
    """The connection ended early; the provider may have done, and billed, all of it."""


@asynccontextmanager
async def ask(
    method: str, path: str, headers: Iterable[tuple[bytes, bytes]], body: bytes
) -> AsyncIterator[Response]:
    """Send a request. Raises `NotSent` or `BrokenOff`, also while the chunks are read."""
    try:
        async with _session().request(
            method,
            settings.ANTHROPIC_BASE_URL.rstrip("/") + path,
            headers=_forwarded(headers),
            data=body or None,
            allow_redirects=False,
        ) as response:
            yield Response(
                status=response.status,
                headers=[
                    (name, value) for name, value in response.raw_headers if name.lower() not in _NOT_RETURNED
                ],
                request_id=response.headers.get("request-id", ""),
                chunks=response.content.iter_any(),
                streams=response.content_type == "text/event-stream",
            )
    except aiohttp.ClientConnectorError as error:
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
            connector=aiohttp.TCPConnector(limit=0), timeout=_TIMEOUT, auto_decompress=False
        )
    return _sessions[loop]


def _forwarded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    kept = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name.lower() not in _NOT_FORWARDED
    ]
    # Compressed, the usage figures could not be read.
    return [*kept, ("accept-encoding", "identity"), ("x-api-key", settings.ANTHROPIC_API_KEY)]
