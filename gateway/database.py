"""Where the gateway's asynchronous side meets the ORM: a few threads of its own, one hop per step of a call."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import close_old_connections, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from events import context

P = ParamSpec("P")
R = TypeVar("R")

THREADS = 8
# What is longer is read in a thread: nobody's stream is to stand still meanwhile.
LONG_BYTES = 1024**2

_threads: ThreadPoolExecutor | None = None
_opened: set[BaseDatabaseWrapper] = set()


async def run(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function` in a thread, for the same caller. Once begun it is finished, whatever becomes of that one."""
    global _threads
    if _threads is None:
        _threads = ThreadPoolExecutor(THREADS, thread_name_prefix="gateway")
    source = context.current()

    def call() -> R:
        with context.calling(source):
            return _call(function, *args, **kwargs)

    return await asyncio.shield(asyncio.get_running_loop().run_in_executor(_threads, call))


async def run_if_long(content: bytes, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function`, which looks at all of `content`: in a thread where that takes a while."""
    if len(content) < LONG_BYTES:
        return function(*args, **kwargs)
    return await run(function, *args, **kwargs)


def _call(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Connections are kept from call to call, but not past their age or a restart of the database."""
    close_old_connections()
    try:
        return function(*args, **kwargs)
    finally:
        _opened.update(connections.all(initialized_only=True))
        close_old_connections()


async def close() -> None:
    """Finish what was begun, and hang up."""
    global _threads
    if _threads is None:
        return
    threads, _threads = _threads, None
    await asyncio.to_thread(_hang_up, threads)


def _hang_up(threads: ThreadPoolExecutor) -> None:
    threads.shutdown()
    for connection in _opened:
        connection.inc_thread_sharing()  # its own thread has ended
        connection.close()
    _opened.clear()
