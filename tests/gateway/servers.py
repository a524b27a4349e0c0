"""Run asynchronous servers beside a test: each in a thread with an event loop of its own."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from aiohttp import web

from gateway import app
from tests.gateway.provider import Provider


def free_socket() -> socket.socket:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    return listening


@contextmanager
def provider() -> Iterator[Provider]:
    """A model provider on a free port."""
    made, loop, listening = Provider(), asyncio.new_event_loop(), free_socket()
    made.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    application = web.Application(client_max_size=64 * 1024**2)
    application.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)

    async def start() -> None:
        await runner.setup()
        await web.SockSite(runner, listening).start()

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def mounted(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The gateway as `autovibe.asgi` mounts it: with somebody who tells it when the server stops."""
    if scope["type"] != "lifespan":
        await app.application(scope, receive, send)
        return
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await app.shutdown()
    await send({"type": "lifespan.shutdown.complete"})


@contextmanager
def gateway() -> Iterator[str]:
    """The gateway on a free port; yields its address."""
    listening = free_socket()
    server = uvicorn.Server(
        uvicorn.Config(mounted, log_level="warning", lifespan="on", timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(15)
        listening.close()


def until(condition: Any, *, seconds: float = 10) -> Any:
    """Look until `condition` gives something true; returns that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        threading.Event().wait(0.02)
    raise AssertionError(f"still not so after {seconds} s: {condition}")
