"""A terminal over a WebSocket, in the words of Proxmox's termproxy, and the pseudo-terminal at the other end.

The client's first frame is `user:ticket` and a newline, and is answered `OK`. Then it sends `0:LENGTH:DATA` for what
was typed, `1:COLUMNS:ROWS:` for a new size and `2` to show that it is there; what it gets is what was printed, raw.
"""

import asyncio
import fcntl
import os
import re
import struct
import termios
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from proxmox.node.errors import Failure

GREETING_SECONDS = 10
_GREETING_BYTES = 1024
_CHUNK = 1 << 16
_TYPED = re.compile(rb"0:(\d{1,6}):")
_RESIZED = re.compile(rb"1:(\d{1,5}):(\d{1,5}):")
_BEGUN = re.compile(rb"(0(:\d{0,6})?|1(:\d{0,5}){0,2})")


class Garbled(Exception):
    """Something that is no frame of termproxy's."""


@dataclass(frozen=True, slots=True)
class Typed:
    data: bytes


@dataclass(frozen=True, slots=True)
class Resized:
    columns: int
    rows: int


class Frames:
    """Finds the frames in a stream, however it was cut into messages."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> Iterator[Typed | Resized]:
        """The frames that are complete now; signs of life are left out. Raises `Garbled`."""
        self._pending += data
        while self._pending:
            if self._pending.startswith(b"2"):
                self._pending = self._pending[1:]
            elif frame := self._take():
                yield frame
            else:
                return

    def _take(self) -> Typed | Resized | None:
        if typed := _TYPED.match(self._pending):
            end = typed.end() + int(typed[1])
            return Typed(self._cut(end)[typed.end() :]) if len(self._pending) >= end else None
        if resized := _RESIZED.match(self._pending):
            self._cut(resized.end())
            return Resized(int(resized[1]), int(resized[2]))
        if not _BEGUN.fullmatch(self._pending):
            raise Garbled
        return None

    def _cut(self, end: int) -> bytes:
        frame, self._pending = self._pending[:end], self._pending[end:]
        return frame


class Pty:
    """Our end of a pseudo-terminal, without blocking."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)

    async def read(self) -> bytes:
        """What was printed next; empty once nobody has the terminal open any more."""
        loop = asyncio.get_running_loop()
        await _ready(self._descriptor, loop.add_reader, loop.remove_reader)
        try:
            return os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return await self.read()
        except OSError:  # EIO: the last program has closed it
            return b""

    async def write(self, data: bytes) -> None:
        """Type; waits while the programs do not read."""
        loop, left = asyncio.get_running_loop(), memoryview(data)
        while left:
            await _ready(self._descriptor, loop.add_writer, loop.remove_writer)
            left = left[os.write(self._descriptor, left) :]

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        """Hang up: the programs in the terminal are told so."""
        os.close(self._descriptor)


async def serve(
    socket: web.WebSocketResponse, valid: Callable[[str, str], bool], shell: Callable[[], int]
) -> None:
    """Talk until either side ends. `valid` judges user and ticket; `shell` opens the pseudo-terminal, or fails."""
    if not await _greeted(socket, valid):
        return
    try:
        pty = Pty(await asyncio.to_thread(shell))
    except Failure as failure:
        await socket.send_bytes(failure.text.encode() + b"\r\n")
        return
    try:
        await _relay(socket, pty)
    finally:
        pty.close()


async def _greeted(socket: web.WebSocketResponse, valid: Callable[[str, str], bool]) -> bool:
    """Whether the client showed in time that the ticket is its own."""
    greeting = b""
    try:
        async with asyncio.timeout(GREETING_SECONDS):
            while b"\n" not in greeting and len(greeting) < _GREETING_BYTES:
                greeting += await _received(socket)
    except (TimeoutError, EOFError):
        return False
    user, _, ticket = greeting.partition(b"\n")[0].decode(errors="replace").partition(":")
    if not valid(user, ticket):
        return False
    await socket.send_bytes(b"OK")
    return True


async def _relay(socket: web.WebSocketResponse, pty: Pty) -> None:
    """Both directions at once, until one of them ends."""
    ways = [asyncio.create_task(_print(socket, pty)), asyncio.create_task(_type(socket, pty))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _print(socket: web.WebSocketResponse, pty: Pty) -> None:
    while data := await pty.read():
        await socket.send_bytes(data)


async def _type(socket: web.WebSocketResponse, pty: Pty) -> None:
    frames = Frames()
    while True:
        for frame in frames.feed(await _received(socket)):
            if isinstance(frame, Typed):
                await pty.write(frame.data)
            else:
                pty.resize(frame.columns, frame.rows)


async def _received(socket: web.WebSocketResponse) -> bytes:
    """The next message's bytes. Raises `EOFError` when the client has gone."""
    message = await socket.receive()
    if message.type is WSMsgType.BINARY:
        return bytes(message.data)
    if message.type is WSMsgType.TEXT:
        return str(message.data).encode()
    raise EOFError


async def _ready(descriptor: int, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
    ready = asyncio.Event()
    add(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        remove(descriptor)
