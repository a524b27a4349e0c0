"""The socket of a console: it passes on what is typed and printed between a page and a VM's serial line.

Binary messages are the terminal's bytes, text messages are about them (JSON, `type` first).
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db import transaction

from dashboard import claim, serial, words
from dashboard.consumers import NO_ACCESS, SIGNED_OUT
from dashboard.presence import signed_in
from dashboard.serial import Ending
from events import actions as events
from machines import actions
from machines.models import Machine
from projects.errors import NotThere
from projects.models import User
from projects.permissions import require_operating
from proxmox import errors
from proxmox.terminal import Terminal, opened

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

NOT_THERE = 4404
CHECK_SECONDS = 60.0  # a session that ended, or a right withdrawn by the admin, is noticed after so long
IDLE_SECONDS = 30 * 60.0
LONGEST_SECONDS = 8 * 3600.0
TAKE_SECONDS = 10.0  # for whoever has it to leave
UNREAD_BYTES = 256 * 1024  # printed and not yet on the screen: more is not asked of Proxmox until it is
COLUMNS_MAX, ROWS_MAX = 1000, 500
TEXT_MAX = 1024  # characters; what a page has to say takes less than 100


@dataclass
class _Flow:
    """How much the page has been sent and has not shown yet."""

    unread: int = 0

    def __post_init__(self) -> None:
        self._shown = asyncio.Event()

    async def sent(self, count: int) -> None:
        """Wait until the page has caught up."""
        self.unread += count
        while self.unread > UNREAD_BYTES:
            self._shown.clear()
            await self._shown.wait()

    def shown(self, count: int) -> None:
        self.unread -= min(max(count, 0), self.unread)
        self._shown.set()


class Relay(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels is untyped
    """One page's console. `?take=1` sends away whoever has it."""

    _relaying: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Whatever ends the socket, an error of ours included, ends the console: it is free for the next."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._relaying is not None:
                self._relaying.cancel()
                await asyncio.wait([self._relaying])

    async def connect(self) -> None:
        self._terminal: Terminal | None = None
        self._flow = _Flow()
        self._typed_at = time.monotonic()
        self._taken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._doubted = asyncio.Event()
        await self.accept()  # a refused handshake has no code that the page could read
        self._relaying = asyncio.create_task(self._relay())

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self._terminal is None:
            return
        with contextlib.suppress(ConnectionError):  # its output ends as well, and says why
            if bytes_data:
                self._typed_at = time.monotonic()
                await self._terminal.type(bytes_data)
            elif text_data:
                await self._told(self._terminal, text_data)

    async def _told(self, terminal: Terminal, text: str) -> None:
        match _parsed(text):
            case {"type": "size", "columns": int(columns), "rows": int(rows)}:
                await terminal.resize(min(max(columns, 1), COLUMNS_MAX), min(max(rows, 1), ROWS_MAX))
            case {"type": "shown", "bytes": int(count)}:
                self._flow.shown(count)

    async def console_taken(self, message: dict[str, Any]) -> None:
        """Somebody else wants it."""
        if message["channel"] != self.channel_name and not self._taken.done():
            self._taken.set_result(message["by"])

    async def doorbell(self, message: dict[str, Any]) -> None:
        """What the user may do has changed somewhere."""
        self._doubted.set()

    async def _relay(self) -> None:
        try:
            machine = await _admit(self.scope["user"], self._handle)
            ending = await self._claim(machine)
        except _Closed as closed:
            await self._close(closed.code)
            return
        except Exception:
            logger.exception("The console of %s broke", self._handle)
            ending = Ending("lost", "autovibe failed here; its log says how.")
        await self._tell("ended", why=ending.why, sentence=ending.sentence)
        await self._close()

    async def _claim(self, machine: Machine) -> Ending:
        """Have the console to oneself, or say who has it."""
        group, take = events.group(f"console:{machine.id}"), self._asks_to_take
        if take:
            taken = {"type": "console.taken", "by": self.scope["user"].username, "channel": self.channel_name}
            await self.channel_layer.group_send(group, taken)
        async with claim.held(machine, seconds=TAKE_SECONDS if take else 0) as mine:
            if mine is None:
                busy: Ending = await _busy(machine, self.scope["user"].username)
                return busy
            groups = (group, events.group(self.scope["user"].subject))
            for each in groups:
                await self.channel_layer.group_add(each, self.channel_name)
            try:
                return await self._open(machine)
            finally:
                for each in groups:
                    await self.channel_layer.group_discard(each, self.channel_name)

    async def _open(self, machine: Machine) -> Ending:
        console = await _in_a_thread(serial.ask)(machine)
        if isinstance(console, Ending):
            return console
        try:
            async with opened(console) as terminal:
                ending = await self._pass_on(machine, terminal)
        except errors.ProxmoxError as error:
            return Ending("lost", str(error))
        if ending is None:
            ending = await _in_a_thread(serial.what_became_of)(machine.guest.vm)
        return ending

    async def _pass_on(self, machine: Machine, terminal: Terminal) -> Ending | None:
        """Pass on until one side ends; None when that was Proxmox's."""
        by, began = self.scope["user"].username, time.monotonic()
        await _record("console.opened", machine, by)
        try:
            self._terminal, self._typed_at = terminal, began
            await self._tell("open")
            return await _first(
                self._print(terminal),
                terminal.keep_alive(),
                self._limits(),
                self._rights(),
                self._taken_over(),
            )
        except ConnectionError:
            return None
        finally:
            self._terminal = None
            await _record("console.closed", machine, by, seconds=round(time.monotonic() - began))

    async def _print(self, terminal: Terminal) -> None:
        async for printed in terminal.output():
            await self._send(bytes_data=printed)
            await self._flow.sent(len(printed))

    async def _limits(self) -> Ending:
        ends_at = time.monotonic() + LONGEST_SECONDS
        while (now := time.monotonic()) < (until := min(ends_at, self._typed_at + IDLE_SECONDS)):
            await asyncio.sleep(until - now)
        if now >= ends_at:
            return Ending("ended", f"A console stays open for at most {words.elapsed(LONGEST_SECONDS)}.")
        return Ending("ended", f"Nothing was typed for {words.elapsed(IDLE_SECONDS)}, so it was closed.")

    async def _rights(self) -> Ending:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._doubted.wait()
            self._doubted.clear()
            try:
                await _admit(await signed_in(self.scope), self._handle)
            except _Closed:
                return Ending("refused", "You are signed out, or may no longer operate this machine.")

    async def _taken_over(self) -> Ending:
        by = await self._taken
        name = "You have" if by == self.scope["user"].username else f"{by} has"
        return Ending("taken", f"{name} taken this console over in another window.")

    @property
    def _handle(self) -> str:
        return str(self.scope["url_route"]["kwargs"]["handle"])

    @property
    def _asks_to_take(self) -> bool:
        return "take" in parse_qs(self.scope["query_string"].decode("latin-1"))

    async def _tell(self, type: str, **more: Any) -> None:
        await self._send(text_data=json.dumps({"type": type, **more}))

    async def _send(self, **message: Any) -> None:
        # uvicorn raises when the page is gone already; `disconnect` follows.
        with contextlib.suppress(RuntimeError, OSError):
            await self.send(**message)

    async def _close(self, code: int = 1000) -> None:
        with contextlib.suppress(RuntimeError, OSError):
            await self.close(code)


class _Closed(Exception):
    """The page may not have the console; `code` says why."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _in_a_thread(ask: Callable[..., Answer]) -> Callable[..., Awaitable[Answer]]:
    """Of its own, since Proxmox may take its time; it may use the database."""
    called: Callable[..., Awaitable[Answer]] = database_sync_to_async(ask, thread_sensitive=False)
    return called


@database_sync_to_async  # type: ignore[untyped-decorator]
def _admit(user: User | AnonymousUser, handle: str) -> Machine:
    if not user.is_authenticated:
        raise _Closed(SIGNED_OUT)
    try:
        machine = actions.find(handle, user=user)
        require_operating(user, machine)
    except NotThere:
        raise _Closed(NOT_THERE) from None
    except PermissionDenied:
        raise _Closed(NO_ACCESS) from None
    return machine


@database_sync_to_async  # type: ignore[untyped-decorator]
def _record(kind: str, machine: Machine, by: str, **data: Any) -> None:
    with transaction.atomic():
        events.record(kind, subject=machine.subject, project_id=machine.project_id, by=by, **data)


@database_sync_to_async  # type: ignore[untyped-decorator]
def _busy(machine: Machine, by: str) -> Ending:
    who = claim.opened(machine)
    name = "Somebody has" if who is None else "You have" if who.actor == by else f"{who.actor} has"
    since = f", opened {words.ago(who.at)}" if who else ""
    return Ending("busy", f"{name} this console in another window{since}. It can be open only once.")


async def _first(*works: Coroutine[Any, Any, Ending | None]) -> Ending | None:
    """What the first of them to end says; the others are called off."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _parsed(text: str) -> object:
    if len(text) > TEXT_MAX:
        return None
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text)
    return None
