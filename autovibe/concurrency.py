"""How many pages are made at a time: each takes a connection to the database, and those are fewer than browsers.

Requests of the gateway do not come this way; they share connections of their own.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponseBase

GetResponse = Callable[[HttpRequest], Awaitable[HttpResponseBase]]
# What an open page asks when it was told of a change says so, as RFC 9218 has it (static/js/live.js).
BACKGROUND = "u=6"
BACKGROUND_SHARE = 4


class Handler(ASGIHandler):
    """Django's, with so many pages at a time.

    Not a middleware: those are sync, and cannot wait. By now the body of the request is read, so that a slow sender
    takes no place; an answer that is sent bit by bit has left its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._respond = at_once(sync_to_async(self.get_response, thread_sensitive=True))

    def load_middleware(self, is_async: bool = False) -> None:
        """As for WSGI: every view is sync, so that a request goes to its thread once, and not there and back again."""
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        request.arrived = time.monotonic()  # type: ignore[attr-defined]  # see dashboard.shared
        return await self._respond(request)


def at_once(get_response: GetResponse) -> GetResponse:
    """Let `PAGES_AT_ONCE` requests through at a time, and of those that nobody waits for a quarter; others wait."""
    places = asyncio.Semaphore(settings.PAGES_AT_ONCE)
    background = asyncio.Semaphore(max(1, settings.PAGES_AT_ONCE // BACKGROUND_SHARE))

    async def limited(request: HttpRequest) -> HttpResponseBase:
        async with background if request.headers.get("Priority") == BACKGROUND else places:
            return await _to_its_end(asyncio.ensure_future(get_response(request)))

    return limited


async def _to_its_end(work: "asyncio.Future[HttpResponseBase]") -> HttpResponseBase:
    """Although whoever asked may have left: what a thread has begun goes on, and has its place until it is done."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
