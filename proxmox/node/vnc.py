"""VNC is not offered, since a guest has no screen: the handshake is held until the reason can be said.

The words are those of the RFB protocol (RFC 6143, 7.1): zero security types, then why.
"""

import struct

from aiohttp import web

VERSION = b"RFB 003.008\n"
REASON = b"A guest of the embedded node has no screen. Use its serial console."
_SECONDS = 10


async def refuse(socket: web.WebSocketResponse) -> None:
    """Tell a VNC viewer that there is nothing to see."""
    await socket.send_bytes(VERSION)
    try:
        await socket.receive(timeout=_SECONDS)
    except TimeoutError:
        return
    if not socket.closed:
        await socket.send_bytes(b"\0" + struct.pack(">I", len(REASON)) + REASON)
