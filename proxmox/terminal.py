"""A VM's serial console over Proxmox's WebSocket: what is typed goes in, what is printed comes out, both as bytes.

Where it is and what opens it, `Driver.console` says. Who may have it is not known here.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from proxmox import errors
from proxmox.driver import Console

OPEN_SECONDS = 15
KEEP_ALIVE_SECONDS = 30
# pveproxy refuses larger frames, and fragmented ones (pve-http-server: AnyEvent.pm, `max_payload_size`).
# One large frame is safer than several: termproxy loses a header that the end of its buffer splits (pve-xtermjs).
FRAME_BYTES = 120 * 1024
_ACCEPTED = b"OK"
_NOT_ACCEPTED = (
    "Proxmox did not accept the console's ticket. Older point releases of Proxmox VE 8.4 and 9 let no API token open "
    "one: update the node."
)


class Terminal:
    """An open console. Everything raises `ConnectionError` once the other side has gone."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, printed: bytes) -> None:
        self._socket = socket
        self._printed = printed

    async def type(self, data: bytes) -> None:
        """Send what was typed; waits while Proxmox is slow to take it."""
        for start in range(0, len(data), FRAME_BYTES):
            piece = data[start : start + FRAME_BYTES]
            await self._socket.send_bytes(b"0:%d:%b" % (len(piece), piece))

    async def resize(self, columns: int, rows: int) -> None:
        """Tell the size of the screen."""
        await self._socket.send_bytes(b"1:%d:%d:" % (columns, rows))

    async def keep_alive(self) -> None:
        """Show from time to time that somebody is there, for as long as it is awaited."""
        while True:
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
            await self._socket.send_bytes(b"2")

    async def output(self) -> AsyncIterator[bytes]:
        """What is printed, until the other side ends. Proxmox is not read from while the caller is busy."""
        if self._printed:
            yield self._printed
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.ERROR:
                return
            yield _bytes(message)


@asynccontextmanager
async def opened(console: Console) -> AsyncIterator[Terminal]:
    """Open the console, within 10 s of asking for it. Raises `Transient` or `Refused`."""
    async with aiohttp.ClientSession() as session:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                socket = await _connect(session, console)
                printed = await _greet(socket, console)
        except aiohttp.WSServerHandshakeError as error:
            text = f"Proxmox refused the console with status {error.status}."
            raise errors.classify(text, error.status) from None
        except (aiohttp.ServerFingerprintMismatch, aiohttp.ClientSSLError):
            raise errors.Refused(
                "The console's certificate is not the one that is trusted; nothing was sent."
            ) from None
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            reason = str(error) or "it did not answer in time"
            raise errors.Transient(f"Proxmox's console cannot be reached: {reason}") from None
        async with socket:
            yield Terminal(socket, printed)


async def _connect(session: aiohttp.ClientSession, console: Console) -> aiohttp.ClientWebSocketResponse:
    # pveproxy ends a console by closing the connection, and leaves our closing frame unanswered.
    waits = aiohttp.ClientWSTimeout(ws_close=1)
    return await session.ws_connect(
        console.url,
        headers=console.headers,
        protocols=(console.subprotocol,),
        ssl=_tls(console),
        compress=0,
        heartbeat=KEEP_ALIVE_SECONDS,
        timeout=waits,
    )


async def _greet(socket: aiohttp.ClientWebSocketResponse, console: Console) -> bytes:
    """Send the ticket; what was printed right behind the `OK` to it.

    termproxy has the ticket verified, and ends when it is not; those that belong to tokens are verified since the end
    of 2025 only (pve-access-control: AccessControl.pm, verify_vnc_ticket).
    """
    await socket.send_str(console.greeting)
    answer = b""
    while len(answer) < len(_ACCEPTED):
        message = await socket.receive()
        if message.type not in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
            raise errors.Refused(_NOT_ACCEPTED)
        answer += _bytes(message)
    if not answer.startswith(_ACCEPTED):
        raise errors.Refused(_NOT_ACCEPTED)
    return answer[len(_ACCEPTED) :]


def _bytes(message: aiohttp.WSMessage) -> bytes:
    data: bytes | str = message.data
    return data.encode() if isinstance(data, str) else data


def _tls(console: Console) -> ssl.SSLContext | bool | aiohttp.Fingerprint:
    """The same proof of identity that the driver asks for; a fingerprint is checked before anything is sent."""
    if console.fingerprint:
        return aiohttp.Fingerprint(bytes.fromhex(console.fingerprint.replace(":", "")))
    if isinstance(console.verify_tls, str):
        return ssl.create_default_context(cafile=console.verify_tls)
    return console.verify_tls
