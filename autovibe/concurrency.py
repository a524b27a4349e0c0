"""How many pages are made at a time: each takes a connection to the database, and those are fewer than browsers.

Requests of the gateway do not come this way; they share connections of their own.
"""

import asyncio
from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

GetResponse = Callable[[HttpRequest], Awaitable[HttpResponse]]
# What an open page asks when it was told of a change says so, as RFC 9218 has it (static/js/live.js).
BACKGROUND = "u=6"
BACKGROUND_SHARE = 4


@sync_and_async_middleware
def at_once(get_response: GetResponse) -> GetResponse:
    """Let `PAGES_AT_ONCE` requests through at a time, and of those that nobody waits for a quarter; others wait.

    It lies within what reads a request's body, so that a slow sender takes no place, and an answer that is sent bit by
    bit has left its place when that begins.
    """
    if not iscoroutinefunction(get_response):  # a client within this process, which asks one after the other
        return get_response
    places = asyncio.Semaphore(settings.PAGES_AT_ONCE)
    background = asyncio.Semaphore(max(1, settings.PAGES_AT_ONCE // BACKGROUND_SHARE))

    async def limited(request: HttpRequest) -> HttpResponse:
        async with background if request.headers.get("Priority") == BACKGROUND else places:
            return await get_response(request)

    return limited
