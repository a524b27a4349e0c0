"""The ASGI application at `/mcp`: lets in who has a token, and loads the rest when the first agent comes.

The SDK takes a second of CPU and some 60 MB to load, which a web process that nobody asks for it need not have.
"""

import asyncio
from typing import TYPE_CHECKING

from mcp_server import inside
from mcp_server.inside import Answer, Application, Receive, Scope, Send

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

PATHS = frozenset({"/mcp", "/mcp/"})
# Asked of the API before every request, so that who has no good token hears so in its words. It costs next to nothing.
DOOR = "/api/v1/machine-types/"
_NO_STREAM = Answer(
    405, [(b"allow", b"POST"), (b"content-type", b"text/plain")], b"MCP is spoken here with POST.\n"
)


class MCP:
    """Serves MCP in front of an application that serves the API. Stateless: any web process answers any request."""

    def __init__(self, application: Application, version: str) -> None:
        self._application = application
        self._version = version
        self._loading = asyncio.Lock()
        self._manager: StreamableHTTPSessionManager | None = None
        self._serving: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request. There is nothing that a stream of its own would tell, so only POST is served."""
        if scope["method"] != "POST":
            await _send(send, _NO_STREAM)
            return
        door = await inside.ask(self._application, scope, "GET", DOOR)
        if not door.ok:
            await _send(send, door)
            return
        await (await self._loaded()).handle_request(scope, receive, send)

    async def shutdown(self) -> None:
        """End what is still under way, such as agents that wait."""
        self._stop.set()
        if self._serving:
            await self._serving

    async def _loaded(self) -> "StreamableHTTPSessionManager":
        async with self._loading:
            if self._manager is None:
                self._manager = await asyncio.to_thread(self._load)
                ready = asyncio.Event()
                self._serving = asyncio.create_task(self._serve(self._manager, ready))
                await ready.wait()
        return self._manager

    def _load(self) -> "StreamableHTTPSessionManager":
        from mcp_server import server

        return server.manager(self._application, self._version)

    async def _serve(self, manager: "StreamableHTTPSessionManager", ready: asyncio.Event) -> None:
        """The SDK wants its tasks begun and ended by one and the same task."""
        async with manager.run():
            ready.set()
            await self._stop.wait()


async def _send(send: Send, answer: Answer) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})
