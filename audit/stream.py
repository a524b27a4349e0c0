"""The live stream: woken by the doorbell, in the order of the chain, for as long as the rights last.

Places in the chain are given out at the commit, so that nothing can appear behind what was sent already. Ids are not.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.core.serializers.json import DjangoJSONEncoder
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from audit import search
from audit.grammar import Term
from audit.search import Sight
from events import actions as events
from events.models import Event, Link
from projects.models import User
from projects.permissions import acting

BEAT_SECONDS = 15.0  # also how long rights that are gone may last
COALESCE_SECONDS = 0.2
EVENTS_AT_ONCE = 200
LINKS_AT_ONCE = 2_000

SIGNED_OUT, NO_ACCESS = "You are not signed in any more.", "There is no project left that you may see."

Serialize = Callable[..., Any]


@dataclass
class Listener:
    """Who listens, and to what. Its methods use the database, and run in threads."""

    request: Request
    sight: Sight
    terms: list[Term]
    serializer: Serialize

    def renewed(self) -> str:
        """Look at the rights again; why it ends, or ""."""
        user = _again(self.request)
        if user is None:
            return SIGNED_OUT
        self.sight = Sight.of(user)
        return "" if self.sight.projects or self.sight.system else NO_ACCESS

    def last(self) -> int:
        return Link.objects.values_list("position", flat=True).last() or 0

    def behind(self, position: int) -> tuple[list[str], int]:
        """The next messages, and how far they go; as far as before, when there is nothing more."""
        links = Link.objects.filter(position__gt=position)[:LINKS_AT_ONCE]
        passed = {event_id: place for place, event_id in links.values_list("position", "event_id")}
        if not passed:
            return [], position
        found, missing = search.find(self.sight, self.terms)
        if missing:  # what was asked for is not theirs to see any more
            return [], max(passed.values())
        rows = sorted(found.filter(pk__in=passed), key=lambda event: passed[event.pk])
        told, reached = rows[:EVENTS_AT_ONCE], max(passed.values())
        if len(rows) > len(told):
            reached = passed[told[-1].pk]
        return [self._message(event, passed[event.pk]) for event in told], reached

    def _message(self, event: Event, position: int) -> str:
        data = json.dumps(self.serializer(event, context={"sight": self.sight}).data, cls=DjangoJSONEncoder)
        return f"id: {position}\nevent: {event.kind}\ndata: {data}\n\n"


async def follow(listener: Listener, after: int | None) -> AsyncIterator[str]:
    """The text of the stream, from behind that position on; from now on, where none is given."""
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(events.FLEET, channel)
    try:
        position = after if after is not None else await _in_a_thread(listener.last)()
        yield f"id: {position}\n: listening\n\n"
        async for message in _messages(listener, position, layer, channel):
            yield message
    finally:
        await layer.group_discard(events.FLEET, channel)


async def _messages(listener: Listener, position: int, layer: Any, channel: str) -> AsyncIterator[str]:
    looked_at = time.monotonic()
    while True:
        messages, reached = await _in_a_thread(listener.behind)(position)
        for message in messages:
            yield message
        waited = reached == position and not await _rung(layer, channel)
        position = reached
        if waited or time.monotonic() - looked_at > BEAT_SECONDS:
            looked_at = time.monotonic()
            if ended := await _in_a_thread(listener.renewed)():
                yield f"event: end\ndata: {json.dumps({'detail': ended})}\n\n"
                return
            yield ": beat\n\n"


async def _rung(layer: Any, channel: str) -> bool:
    """Wait for a doorbell, and a moment for others; False when there was none for as long as a beat."""
    try:
        async with asyncio.timeout(BEAT_SECONDS):
            await layer.receive(channel)
    except TimeoutError:
        return False
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(COALESCE_SECONDS):
            while True:
                await layer.receive(channel)
    return True


def _in_a_thread(ask: Callable[..., Any]) -> Callable[..., Any]:
    """Of a pool that all streams share, and with it its connections to the database."""
    called: Callable[..., Any] = database_sync_to_async(ask, thread_sensitive=False)
    return called


def _again(request: Request) -> User | None:
    """Whoever signed the request, if they still could: the token lives, the session was not ended."""
    authenticator: Any = request.successful_authenticator
    key = acting(request.user).pk
    if isinstance(authenticator, SessionAuthentication):
        session = request._request.session
        if not session.session_key or not session.exists(session.session_key):
            return None
        return User.objects.filter(pk=key, is_active=True).first()
    try:
        found = authenticator.authenticate(request)
    except AuthenticationFailed:
        return None
    return found[0] if found and found[0].is_active else None
