"""The socket: who may listen to what, and what little it says."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.layers import get_channel_layer
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from accounts import actions as accounts
from checkpoints.models import Checkpoint
from dashboard import consumers, version
from events import actions as events
from guests.models import Usage
from guests.observe import Seen
from machines.limits import enforce
from machines.models import Machine
from projects import members
from projects.models import Project, User
from tests.dashboard import rows

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def running(project: Project, genesis: Checkpoint) -> Machine:
    return rows.machine(project, genesis)


class Socket(ApplicationCommunicator):
    """The browser's end of a page's socket."""

    def __init__(self, user: User | AnonymousUser, session: SessionBase, subjects: tuple[str, ...]) -> None:
        query = "&".join(f"subject={subject}" for subject in subjects)
        scope = {
            "type": "websocket",
            "path": "/ws/",
            "query_string": query.encode(),
            "headers": [],
            "user": user,
            "session": session,
        }
        super().__init__(consumers.Doorbell.as_asgi(), scope)

    async def hears(self) -> Any:
        message = await self.receive_output(timeout=5)
        assert message["type"] == "websocket.send", message
        return json.loads(message["text"])

    async def closes(self) -> int:
        message = await self.receive_output(timeout=5)
        assert message["type"] == "websocket.close", message
        code: int = message["code"]
        return code


def session_of(user: User | AnonymousUser) -> SessionBase:
    client = Client()
    if user.is_authenticated:
        client.force_login(user)
    return client.session


@asynccontextmanager
async def page(user: User | AnonymousUser, *subjects: str) -> AsyncIterator[Socket]:
    """An open page's socket."""
    socket = Socket(user, await sync_to_async(session_of)(user), subjects)
    await socket.send_input({"type": "websocket.connect"})
    assert (await socket.receive_output(timeout=5))["type"] == "websocket.accept"
    yield socket
    await socket.send_input({"type": "websocket.disconnect", "code": 1001})
    await socket.wait(timeout=5)


async def ring(machine: Machine, *kinds: str) -> None:
    def each() -> None:
        for kind in kinds:
            events.ring(kind, subject=machine.subject, project_id=machine.project_id)

    await sync_to_async(each)()


class TestWhoMayListen:
    async def test_strangers_are_told_to_sign_in(self, running: Machine) -> None:
        async with page(AnonymousUser(), running.subject) as socket:
            assert await socket.closes() == 4401

    @pytest.mark.parametrize("subject", ["", "machine:nonsense", "nothing:1", "user:1"])
    async def test_nonsense_is_not_for_anybody(self, subject: str, people: dict[str, User]) -> None:
        async with page(people["alice"], subject) as socket:
            assert await socket.closes() == 4403

    async def test_outsiders_hear_nothing_of_a_machine(
        self, running: Machine, people: dict[str, User]
    ) -> None:
        async with page(people["charlie"], running.subject) as socket:
            assert await socket.closes() == 4403

    async def test_outsiders_hear_nothing_of_a_project(
        self, project: Project, people: dict[str, User]
    ) -> None:
        async with page(people["charlie"], project.subject) as socket:
            assert await socket.closes() == 4403

    async def test_members_are_greeted(self, running: Machine, people: dict[str, User]) -> None:
        async with page(people["bob"], running.subject) as socket:
            assert await socket.hears() == {"type": "hello", "version": version.digest()}


class TestWhoMayListenOn:
    """Sockets are open for hours: what their users may do is asked afresh."""

    async def test_who_was_signed_out_everywhere_hears_no_more(
        self, running: Machine, people: dict[str, User]
    ) -> None:
        async with page(people["bob"], running.subject) as socket:
            await socket.hears()

            await sync_to_async(accounts.end_sessions)(people["bob"], by="alice")

            assert await socket.closes() == 4401

    async def test_who_administers_no_more_hears_nothing_of_strangers_projects(
        self, running: Machine, people: dict[str, User]
    ) -> None:
        boss = await sync_to_async(User.objects.create_superuser)("boss")
        async with page(boss, running.subject) as socket:
            await socket.hears()
            await User.objects.filter(pk=boss.pk).aupdate(is_superuser=False, is_staff=False)

            await sync_to_async(rows.call)(running)
            await ring(running, "call")
            assert (await socket.hears())["type"] == "doorbell"  # without figures

            await sync_to_async(events.ring)("account.changed", subject=boss.subject)
            assert await socket.closes() == 4403

    async def test_who_loses_a_project_while_they_connect_hears_nothing_of_it(
        self, running: Machine, project: Project, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        may_hear = consumers._may_hear

        async def and_then_removed(user: User, subjects: list[str]) -> bool:
            said: bool = await may_hear(user, subjects)
            monkeypatch.setattr(consumers, "_may_hear", may_hear)
            await sync_to_async(members.remove)(project, "bob", by=people["alice"])
            return said

        monkeypatch.setattr(consumers, "_may_hear", and_then_removed)
        async with page(people["bob"], running.subject) as socket:
            await socket.hears()

            assert await socket.closes() == 4403


class TestWhatItSays:
    async def test_rings_of_a_moment_come_as_one(self, running: Machine, people: dict[str, User]) -> None:
        async with page(people["bob"], running.subject) as socket:
            await socket.hears()

            await ring(running, "machine.paused", "log", "log")

            heard = await socket.hears()
            assert heard == {
                "type": "doorbell",
                "subject": running.subject,
                "kinds": ["log", "machine.paused"],
            }
            assert await socket.receive_nothing(timeout=0.5)

    async def test_what_goes_on_is_told_every_now_and_then(
        self, running: Machine, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(consumers, "COALESCE_SECONDS", 3600)
        async with page(people["bob"], running.subject) as socket:
            await socket.hears()
            await ring(running, "machine.paused")
            assert (await socket.hears())["kinds"] == ["machine.paused"], "at once, after silence"

            await ring(running, "machine.running")

            assert await socket.receive_nothing(timeout=0.5)

    async def test_what_was_held_back_is_told_in_the_end(
        self, running: Machine, people: dict[str, User]
    ) -> None:
        async with page(people["bob"], running.subject) as socket:
            await socket.hears()
            for kind in ("machine.paused", "machine.running"):
                await ring(running, kind)
                assert (await socket.hears())["kinds"] == [kind]

    async def test_the_fleet_hears_that_something_changed_and_not_what(
        self, running: Machine, people: dict[str, User]
    ) -> None:
        async with page(people["charlie"], "fleet") as socket:
            await socket.hears()

            await ring(running, "machine.paused")

            assert await socket.hears() == {"type": "doorbell", "subject": "fleet"}

    async def test_a_project_s_page_hears_of_its_machines_and_budgets_but_not_of_log_lines(
        self, running: Machine, people: dict[str, User]
    ) -> None:
        project = await sync_to_async(lambda: running.project)()
        async with page(people["bob"], project.subject) as socket:
            await socket.hears()

            await ring(running, "log", "call")
            await sync_to_async(rows.budget)(project)

            kinds: set[str] = set()
            while not {"call", "budget.limit_set"} <= kinds:  # in one message or two
                heard = await socket.hears()
                assert heard["subject"] == project.subject
                kinds |= set(heard["kinds"])
            assert "log" not in kinds

    async def test_the_fleet_is_not_woken_by_log_lines(
        self, running: Machine, people: dict[str, User]
    ) -> None:
        async with page(people["bob"], "fleet") as socket:
            await socket.hears()

            await ring(running, "log")

            assert await socket.receive_nothing(timeout=0.8)

    async def test_what_the_layer_lost_is_asked_for_afresh(
        self, running: Machine, people: dict[str, User]
    ) -> None:
        async with page(people["bob"], running.subject) as socket:
            await socket.hears()

            layer: Any = get_channel_layer()
            await layer.group_send(events.group(running.subject), {"type": "layer.resync"})

            assert await socket.hears() == {"type": "resync"}

    async def test_it_beats(
        self, running: Machine, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(consumers, "BEAT_SECONDS", 0.05)
        async with page(people["bob"], running.subject) as socket:
            await socket.hears()

            assert await socket.hears() == {"type": "beat"}

    async def test_a_page_that_left_leaves_nothing_running(
        self, running: Machine, people: dict[str, User]
    ) -> None:
        before = asyncio.all_tasks()
        async with page(people["bob"], running.subject) as socket:
            await socket.hears()
            await ring(running, "machine.paused")
        await asyncio.sleep(0)

        left = {task for task in asyncio.all_tasks() - before if "Doorbell" in repr(task)}
        assert not left


class TestPoints:
    async def test_the_charts_go_on_when_a_minute_was_measured(
        self, running: Machine, people: dict[str, User]
    ) -> None:
        minute = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=1)
        used = {"guest_id": running.guest_id, "at": minute, "cpu_seconds": 30, "memory_bytes": 2_000_000_000}
        await sync_to_async(Machine.objects.filter(pk=running.pk).update)(
            created_at=minute - timedelta(hours=2)
        )
        await sync_to_async(Usage.objects.create)(**used)
        async with page(people["bob"], running.subject) as socket:
            await socket.hears()

            await sync_to_async(enforce.ring_for)(Seen([], [running.guest_id]))

            heard = await socket.hears()
            assert (heard["type"], heard["subject"]) == ("point", running.subject)
            assert len(heard["times"]) == consumers.POINTS_SENT
            assert heard["series"]["cpu"]["values"][heard["times"].index(int(minute.timestamp()))] == 0.5
            assert heard["series"]["memory"]["said"].startswith("last 2.0 GB")
            assert await socket.receive_nothing(timeout=0.5)

    async def test_a_call_brings_its_tokens_beside_the_doorbell(
        self, running: Machine, people: dict[str, User]
    ) -> None:
        async with page(people["bob"], running.subject) as socket:
            await socket.hears()
            await sync_to_async(rows.call)(running)

            await ring(running, "call")

            doorbell, point = await socket.hears(), await socket.hears()
            assert point["series"]["tokens"]["values"][-1] == 5400
            assert doorbell["kinds"] == ["call"]

    async def test_figures_that_cannot_be_read_do_not_keep_the_doorbell_from_ringing(
        self, running: Machine, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def busy(user: User, subject: str) -> None:
            raise OperationalError("couldn't get a connection after 10.00 sec")

        async with page(people["bob"], running.subject) as socket:
            await socket.hears()
            monkeypatch.setattr(consumers, "_chart", busy)

            await ring(running, "call", "machine.paused")

            assert (await socket.hears())["kinds"] == ["call", "machine.paused"]
            assert (await socket.hears())["type"] == "resync"

    async def test_a_page_of_several_machines_draws_the_first(
        self, running: Machine, genesis: Checkpoint, people: dict[str, User]
    ) -> None:
        project = await sync_to_async(lambda: running.project)()
        other = await sync_to_async(rows.machine)(project, genesis)
        async with page(people["bob"], running.subject, other.subject) as socket:
            await socket.hears()

            await ring(other, "call")

            heard = await socket.hears()
            assert (heard["type"], heard["subject"]) == ("doorbell", other.subject)

    async def test_pages_of_many_machines_hear_of_no_points(
        self, running: Machine, people: dict[str, User]
    ) -> None:
        project = await sync_to_async(lambda: running.project)()
        async with page(people["bob"], "fleet", project.subject) as socket:
            await socket.hears()

            await sync_to_async(enforce.ring_for)(Seen([], [running.guest_id]))

            assert await socket.receive_nothing(timeout=0.8)
