"""A channel layer over PostgreSQL's NOTIFY: what a transaction sends arrives when it commits, or never.

It carries doorbells, not data: a payload holds at most 7900 bytes, and what was rung while a process had no
connection is lost. Whoever may have missed something gets a `layer.resync` message and reads afresh.
"""

import asyncio
import json
import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import psycopg
from channels.db import database_sync_to_async
from channels.layers import BaseChannelLayer
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection

logger = logging.getLogger(__name__)

CHANNEL = "doorbell"
APPLICATION_NAME = "autovibe channel layer"
PAYLOAD_BYTES_MAX = 7900  # PostgreSQL refuses 8000 and more
RESYNC = {"type": "layer.resync"}

_CONNECT_SECONDS = 5.0
_BACK_OFF_SECONDS = (0.1, 0.5, 1, 2, 5, 10)
_KEEPALIVES = {"keepalives": 1, "keepalives_idle": 20, "keepalives_interval": 5, "keepalives_count": 3}
_DJANGO_ONLY = {"cursor_factory", "context", "prepare_threshold"}

Message = dict[str, Any]


def notify(message: Message, *, groups: Iterable[str] = (), channel: str = "") -> None:
    """Send `message` to groups, or to one channel, on Django's connection: bound to its transaction, if any.

    A channel in several of the groups gets it once. Raises ValueError when the message is too long.
    """
    payload = json.dumps(
        {"groups": list(groups), "channel": channel, "message": message},
        cls=DjangoJSONEncoder,
        separators=(",", ":"),
    )
    if len(payload.encode()) > PAYLOAD_BYTES_MAX:
        raise ValueError(
            f"A channel layer message of {len(payload.encode())} bytes is too long for PostgreSQL's NOTIFY "
            f"(at most {PAYLOAD_BYTES_MAX}): send ids and let the receiver read the rest from the database."
        )
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, payload])


class NotifyLayer(BaseChannelLayer):  # type: ignore[misc]  # channels is untyped
    """Channels' interface. Channels belong to the process, and the event loop, that made them."""

    extensions = ("groups",)

    def __init__(self, expiry: float = 60, capacity: int = 100, **_: Any) -> None:
        super().__init__(expiry=expiry, capacity=capacity)
        self._listeners: dict[asyncio.AbstractEventLoop, _Listener] = {}

    async def new_channel(self, prefix: str = "specific") -> str:
        return f"{prefix}!{uuid4().hex}"

    async def receive(self, channel: str) -> Message:
        return await self._listener().mailbox(channel).take()

    async def group_add(self, group: str, channel: str) -> None:
        """Join. What is committed after this returned will arrive, or a resync in its place."""
        self.require_valid_group_name(group)
        listener = self._listener()
        listener.mailbox(channel)
        listener.groups[group].add(channel)
        await listener.connected()

    async def group_discard(self, group: str, channel: str) -> None:
        self._listener().leave(group, channel)

    async def send(self, channel: str, message: Message) -> None:
        self.require_valid_channel_name(channel)
        await database_sync_to_async(notify)(message, channel=channel)

    async def group_send(self, group: str, message: Message) -> None:
        self.require_valid_group_name(group)
        await database_sync_to_async(notify)(message, groups=[group])

    def _listener(self) -> "_Listener":
        loop = asyncio.get_running_loop()
        if loop not in self._listeners:
            self._listeners = {known: it for known, it in self._listeners.items() if not known.is_closed()}
            self._listeners[loop] = _Listener(self.expiry, self.capacity)
        return self._listeners[loop]


@dataclass
class _Mailbox:
    """What waits for one channel's reader."""

    capacity: int
    messages: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    readers: int = 0
    read_at: float = field(default_factory=time.monotonic)

    async def take(self) -> Message:
        self.readers += 1
        try:
            return await self.messages.get()
        finally:
            self.readers -= 1
            self.read_at = time.monotonic()

    def put(self, message: Message) -> None:
        """Add a copy; a reader that has fallen too far behind is told to read everything afresh instead."""
        if self.messages.qsize() >= self.capacity:
            while not self.messages.empty():
                self.messages.get_nowait()
            message = RESYNC
        self.messages.put_nowait(dict(message))

    def abandoned(self, expiry_seconds: float) -> bool:
        return not self.readers and time.monotonic() - self.read_at > expiry_seconds


class _Listener:
    """One LISTENing connection for one event loop, and the mailboxes and groups behind it."""

    def __init__(self, expiry_seconds: float, capacity: int) -> None:
        self.groups: defaultdict[str, set[str]] = defaultdict(set)
        self._mailboxes: dict[str, _Mailbox] = {}
        self._expiry_seconds = expiry_seconds
        self._capacity = capacity
        self._listening = asyncio.Event()
        self._missed = False
        self._task = asyncio.create_task(self._listen_forever())

    def mailbox(self, channel: str) -> _Mailbox:
        if channel not in self._mailboxes:
            self._mailboxes[channel] = _Mailbox(self._capacity)
        return self._mailboxes[channel]

    def leave(self, group: str, channel: str) -> None:
        self.groups[group].discard(channel)
        if not self.groups[group]:
            del self.groups[group]

    async def connected(self) -> None:
        """Wait for the connection, but not for ever: a page may open while the database is away."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await self._listening.wait()
        except TimeoutError:
            self._missed = True

    async def _listen_forever(self) -> None:
        failures = 0
        while True:
            try:
                async with await _connect() as listening:
                    failures = 0
                    await self._listen(listening)
            except Exception as error:  # whatever it was, pages must not stay deaf
                if not failures:
                    unexpected = not isinstance(error, psycopg.Error)
                    logger.warning("The doorbell's connection broke: %s", error, exc_info=unexpected)
            self._listening.clear()
            self._missed = True
            await asyncio.sleep(_BACK_OFF_SECONDS[min(failures, len(_BACK_OFF_SECONDS) - 1)])
            failures += 1

    async def _listen(self, listening: psycopg.AsyncConnection[Any]) -> None:
        await listening.execute(f"LISTEN {CHANNEL}")
        self._listening.set()
        if self._missed:
            self._missed = False
            for mailbox in self._mailboxes.values():
                mailbox.put(RESYNC)
        while True:
            async for note in listening.notifies(timeout=self._expiry_seconds):
                self._deliver(json.loads(note.payload))
            self._forget_abandoned()

    def _deliver(self, note: dict[str, Any]) -> None:
        channels = {note["channel"]}.union(*(self.groups.get(group, ()) for group in note["groups"]))
        for channel in channels & self._mailboxes.keys():
            self._mailboxes[channel].put(note["message"])

    def _forget_abandoned(self) -> None:
        """Drop the channels of readers that went away without leaving their groups."""
        gone = {name for name, box in self._mailboxes.items() if box.abandoned(self._expiry_seconds)}
        for channel in gone:
            del self._mailboxes[channel]
        for group in [group for group, members in self.groups.items() if members & gone]:
            for channel in gone:
                self.leave(group, channel)


async def _connect() -> psycopg.AsyncConnection[Any]:
    wanted = {
        key: value for key, value in connection.get_connection_params().items() if key not in _DJANGO_ONLY
    }
    wanted |= _KEEPALIVES | {"application_name": APPLICATION_NAME, "connect_timeout": int(_CONNECT_SECONDS)}
    return await psycopg.AsyncConnection.connect(**wanted, autocommit=True)
