"""How many pages are made at a time: each takes a connection to the database, and those are fewer than browsers.

Requests of the gateway do not come this way; they share connections of their own.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponseBase

GetResponse = Callable[[HttpRequest], Awaitable[HttpResponseBase]]
# What an open page asks when it was told of a change says so, as RFC 9218 has it (static/js/live.js).
BACKGROUND = "u=6"
BACKGROUND_SHARE = 4
SAFE = frozenset({"GET", "HEAD"})


class Handler(ASGIHandler):
    """Django's, with so many pages at a time.

    Not a middleware: one that is sync among them makes all around it sync, and those cannot wait. By now the body of
    the request is read, so that a slow sender takes no place; an answer that is sent bit by bit has left its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._respond = at_once(super().get_response_async)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        request.arrived = time.monotonic()  # type: ignore[attr-defined]  # see dashboard.shared
        return await self._respond(request)


def at_once(get_response: GetResponse) -> GetResponse:
    """Let `PAGES_AT_ONCE` requests through at a time, and of those that nobody waits for a quarter; others wait."""
    places = asyncio.Semaphore(settings.PAGES_AT_ONCE)
    background = asyncio.Semaphore(max(1, settings.PAGES_AT_ONCE // BACKGROUND_SHARE))

    async def limited(request: HttpRequest) -> HttpResponseBase:
        async with background if request.headers.get("Priority") == BACKGROUND else places:
            work = get_response(request)
            return await (work if request.method in SAFE else _to_its_end(asyncio.ensure_future(work)))

    return limited


async def _to_its_end(work: "asyncio.Future[HttpResponseBase]") -> HttpResponseBase:
    """Although whoever asked may have left: what they asked for is done, and known to be, when they ask again."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
