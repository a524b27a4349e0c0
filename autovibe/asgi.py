"""The ASGI application: gateway and MCP beside Django (outside its middleware), WebSockets, and the lifespan."""

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "autovibe.settings")
django.setup(set_prefix=False)

# Only importable once Django is set up.
from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import URLRouter  # noqa: E402

from accounts.requirement import SecondFactorSockets  # noqa: E402
from autovibe import __version__, limits, security  # noqa: E402
from autovibe.concurrency import Handler  # noqa: E402
from autovibe.origin import same_origin  # noqa: E402
from autovibe.requests import known  # noqa: E402
from dashboard.routing import websocket_urlpatterns  # noqa: E402
from gateway import app as gateway  # noqa: E402
from mcp_server.app import MCP, PATHS  # noqa: E402

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

websockets = same_origin(
    AuthMiddlewareStack(SecondFactorSockets(limits.sockets(URLRouter(websocket_urlpatterns))))
)
pages = limits.bodies(Handler())
mcp = MCP(pages, __version__)
GATEWAY_PATHS = ("/v1/", "/guest/", "/api/hello")


@known
async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Dispatch one connection."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await websockets(scope, receive, send)
    elif scope["path"].startswith(GATEWAY_PATHS):
        await gateway.application(scope, receive, send)
    elif scope["path"] in PATHS:
        await mcp(scope, receive, send)
    else:
        await pages(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    """Neither Django nor Channels answers lifespan; the gateway's HTTP session is closed here.

    What must not be served with is refused here, since a web server asks no system checks.
    """
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send(_started())
        elif message["type"] == "lifespan.shutdown":
            await mcp.shutdown()
            await gateway.shutdown()
            await send({"type": "lifespan.shutdown.complete"})
            return


def _started() -> dict[str, Any]:
    if wrong := security.errors():
        return {"type": "lifespan.startup.failed", "message": " ".join(str(error.msg) for error in wrong)}
    return {"type": "lifespan.startup.complete"}
