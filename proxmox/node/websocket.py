"""The WebSocket of a console, from the request that asks for it until either side ends it."""

import asyncio
from functools import partial

from aiohttp import web

from proxmox.node import terminal, vnc
from proxmox.node.api.console import shell
from proxmox.node.consoles import Session
from proxmox.node.errors import Failure
from proxmox.node.host import Host

MESSAGE_BYTES = 128 * 1024  # pve-http-server's own limit


async def serve(host: Host, request: web.Request, session: Session) -> web.WebSocketResponse:
    """Become the WebSocket of a console. Raises `Failure` for a request that is none."""
    loop = asyncio.get_running_loop()
    socket = web.WebSocketResponse(protocols=("binary",), max_msg_size=MESSAGE_BYTES, timeout=1)
    session.hang_up = lambda: _close(socket, loop)
    try:
        await _prepared(socket, request)
        if session.kind == "vncproxy":
            await vnc.refuse(socket)
        else:
            await terminal.serve(socket, partial(_valid, host, session), partial(shell, host, session))
        await socket.close()
    finally:
        session.ended.set()
    return socket


async def _prepared(socket: web.WebSocketResponse, request: web.Request) -> None:
    if not socket.can_prepare(request).ok:
        raise Failure("missing Sec-Websocket-Key", status=500)
    await socket.prepare(request)


def _valid(host: Host, session: Session, user: str, ticket: str) -> bool:
    """Whether the greeting is that of whom the console was offered to."""
    right = host.tickets.console_valid(ticket, session.user, session.path, session.port)
    return right and user == session.user


def _close(socket: web.WebSocketResponse, loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_closed():
        asyncio.run_coroutine_threadsafe(socket.close(), loop)
