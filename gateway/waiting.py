"""Calls that wait because others hold the money: the one that waits longest goes first when one of them has ended.

Other processes end calls too, unheard here; so everybody looks again by himself after a while.
"""

import asyncio
import contextlib
from collections import deque

LOOK_EVERY_SECONDS = 1.0

_waiting: dict[asyncio.AbstractEventLoop, "deque[asyncio.Future[None]]"] = {}


async def a_moment() -> None:
    """Returns when a call has ended and it is this one's turn, or after a while."""
    loop = asyncio.get_running_loop()
    turn: asyncio.Future[None] = loop.create_future()
    queue = _waiting.setdefault(loop, deque())
    queue.append(turn)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY_SECONDS):
                await turn
    finally:
        with contextlib.suppress(ValueError):
            queue.remove(turn)


def one_has_ended() -> None:
    """Whoever waits longest may try again."""
    queue = _waiting.get(asyncio.get_running_loop())
    while queue:
        turn = queue.popleft()
        if not turn.done():
            turn.set_result(None)
            return
