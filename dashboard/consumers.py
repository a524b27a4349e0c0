"""The socket of a page: it says that something changed, and the page reads it over HTTP, as itself.

Only the points of charts come with it: they are a few figures, and come every minute.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import DatabaseError

from checkpoints.models import Checkpoint, CheckpointQuerySet
from dashboard import series, version
from dashboard.presence import signed_in
from events import actions as events
from guests import diagnoses
from machines.models import Machine, MachineQuerySet
from projects.models import Project, ProjectQuerySet, User

BEAT_SECONDS = 10.0
GATHER_SECONDS = 0.05  # what one commit rings comes one after the other
COALESCE_SECONDS = 0.3
SUBJECTS_MAX = 20

SIGNED_OUT, NO_ACCESS, TOO_MANY = 4401, 4403, 4429
MODELS: dict[str, Callable[[], ProjectQuerySet | MachineQuerySet | CheckpointQuerySet]] = {
    "project": Project.objects.all,
    "machine": Machine.objects.all,
    "checkpoint": Checkpoint.objects.all,
}
# Rings that no page of many things shows anything of.
NOT_FOR_THE_FLEET = frozenset({"log", "operation.step"})
# After these, a machine's charts go on; its last minutes are sent, in which others may have been lost.
USAGE, DRAWN = "usage", frozenset({"usage", "call"})
POINTS_SENT = 5


class Doorbell(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels is untyped
    """Forwards the doorbells of the subjects in `?subject=`, several within a moment as one."""

    async def connect(self) -> None:
        self._begin()
        await self.accept()  # a refused handshake has no code that the page could read
        user, subjects = self.scope["user"], _subjects(self.scope)
        if not user.is_authenticated:
            await self.close(SIGNED_OUT)
        else:
            await self._join(user.subject)  # first of all: it rings where their rights change
            if subjects and await _may_hear(user, subjects):
                await self._listen(subjects)
            else:
                await self.close(NO_ACCESS)

    def _begin(self) -> None:
        self._subjects: list[str] = []
        self._joined: list[str] = []
        self._rung: dict[str, set[str]] = {}
        self._telling = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def _listen(self, subjects: list[str]) -> None:
        self._subjects = subjects
        for subject in subjects:
            await self._join(subject)
        await self._tell("hello", version=version.digest())
        self._spawn(self._beat())

    async def _join(self, subject: str) -> None:
        self._joined.append(subject)
        await self.channel_layer.group_add(events.group(subject), self.channel_name)

    async def disconnect(self, code: int) -> None:
        for task in self._tasks:
            task.cancel()
        for subject in self._joined:
            await self.channel_layer.group_discard(events.group(subject), self.channel_name)

    async def doorbell(self, message: dict[str, Any]) -> None:
        """Something changed, here or, for a page of the fleet, anywhere."""
        subject, kind = message["subject"], message["kind"]
        if subject in self._subjects:
            self._ring(subject, kind)
        elif subject == self.scope["user"].subject:
            await self._check_again()
        elif events.FLEET in self._subjects and kind not in NOT_FOR_THE_FLEET:
            # Whose it was is not this page's to know: it may belong to somebody else.
            self._ring(events.FLEET, "changed")
        elif kind not in NOT_FOR_THE_FLEET:
            # It came by way of its project: machines and budgets ring there as well.
            for project in self._subjects:
                if project.startswith("project:"):
                    self._ring(project, kind)

    async def _check_again(self) -> None:
        """Whoever is signed out, or out of a project, is out of its pages, open ones too."""
        user = await signed_in(self.scope)
        if not user.is_authenticated:
            await self.close(SIGNED_OUT)
        elif not await _may_hear(user, self._subjects):
            await self.close(NO_ACCESS)

    async def layer_resync(self, message: dict[str, Any]) -> None:
        """Doorbells may have been lost."""
        await self._tell("resync")

    def _ring(self, subject: str, kind: str) -> None:
        self._rung.setdefault(subject, set()).add(kind)
        if not self._telling:
            self._telling = True
            self._spawn(self._tell_all())

    async def _tell_all(self) -> None:
        """At once what comes after silence, and what follows it every now and then."""
        try:
            await asyncio.sleep(GATHER_SECONDS)
            while self._rung:
                rung, self._rung = self._rung, {}
                await self._tell_of(rung)
                await asyncio.sleep(COALESCE_SECONDS)
        finally:
            self._telling = False

    async def _tell_of(self, rung: dict[str, set[str]]) -> None:
        for subject, kinds in rung.items():
            if subject == events.FLEET:
                await self._tell("doorbell", subject=subject)
            elif said := kinds - {USAGE}:
                await self._tell("doorbell", subject=subject, kinds=sorted(said))
        if DRAWN & rung.get(self._drawn, set()):
            await self._draw(self._drawn)

    @property
    def _drawn(self) -> str:
        """A page draws the charts of one machine: the first that it shows."""
        return next((subject for subject in self._subjects if subject.startswith("machine:")), "")

    async def _draw(self, subject: str) -> None:
        try:
            chart = await _chart(await signed_in(self.scope), subject)
        except DatabaseError:  # none was free in time, say: the page reads it all again
            await self._tell("resync")
        else:
            if chart:
                await self._tell("point", subject=subject, **chart.as_json(last=POINTS_SENT))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self._tell("beat")

    async def _tell(self, type: str, **more: Any) -> None:
        # Daphne and uvicorn raise when the page is gone already; `disconnect` follows.
        with contextlib.suppress(RuntimeError):
            await self.send(json.dumps({"type": type, **more}))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _subjects(scope: dict[str, Any]) -> list[str]:
    asked = parse_qs(scope["query_string"].decode("latin-1")).get("subject", [])
    return list(dict.fromkeys(asked))[:SUBJECTS_MAX]


@database_sync_to_async  # type: ignore[untyped-decorator]
def _may_hear(user: User, subjects: list[str]) -> bool:
    return all(subject == events.FLEET or _is_visible(user, subject) for subject in subjects)


def _is_visible(user: User, subject: str) -> bool:
    if subject == diagnoses.SUBJECT:
        return diagnoses.may_see(user)
    kind, _, key = subject.partition(":")
    if kind not in MODELS:
        return False
    try:
        seen = MODELS[kind]().permitted(user, "view_project").filter(pk=key).values_list("pk", flat=True)
        return str(seen.first()) == key  # which may be written otherwise, and would be another group
    except ValidationError:  # the key is no UUID
        return False


@database_sync_to_async  # type: ignore[untyped-decorator]
def _chart(user: User | AnonymousUser, subject: str) -> series.Chart | None:
    """Of a machine; None where they may not see it."""
    key = subject.partition(":")[2]
    machine = Machine.objects.permitted(user, "view_project").filter(pk=key).first()
    return series.of(machine) if machine else None
