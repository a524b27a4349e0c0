"""The doorbell over real connections: commit, rollback, a killed backend, and too much at once."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from channels.db import database_sync_to_async
from channels.layers import InMemoryChannelLayer
from django.db import connection, transaction

from events import doorbell
from events.layer import APPLICATION_NAME, PAYLOAD_BYTES_MAX, NotifyLayer, notify

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_SECONDS = 5.0


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> NotifyLayer:
    deadline = time.monotonic() + PATIENCE_SECONDS
    # Nobody has closed those of layers whose loop is over.
    while _listeners() and time.monotonic() < deadline:
        time.sleep(0.05)
    made = NotifyLayer()
    monkeypatch.setattr(doorbell, "get_channel_layer", lambda: made)
    return made


async def member(layer: NotifyLayer, *groups: str) -> str:
    channel = await layer.new_channel()
    for group in groups:
        await layer.group_add(group, channel)
    return channel


async def received(layer: NotifyLayer, channel: str, patience_seconds: float = PATIENCE_SECONDS) -> Any:
    return await asyncio.wait_for(layer.receive(channel), patience_seconds)


async def heard_nothing_before(layer: NotifyLayer, channel: str, group: str) -> bool:
    """Notifications arrive in order: if a marker comes next, nothing came in between."""
    await layer.group_send(group, {"type": "marker"})
    return await received(layer, channel) == {"type": "marker"}


@database_sync_to_async
def in_transaction(work: Callable[[], None], *, fail: bool = False) -> None:
    try:
        with transaction.atomic():
            work()
            if fail:
                raise InterruptedError
    except InterruptedError:
        pass


@database_sync_to_async
def terminate_listeners() -> int:
    return _listeners()


def _listeners() -> int:
    """How many there are; there will be none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = %s"
            " AND datname = current_database()",
            [APPLICATION_NAME],
        )
        return int(cursor.fetchone()[0])


class TestGroups:
    async def test_every_member_hears_what_is_sent_to_its_group(self, layer: NotifyLayer) -> None:
        first, second = await member(layer, "machine.1"), await member(layer, "machine.1")
        await layer.group_send("machine.1", {"type": "doorbell", "kind": "machine.started"})
        for channel in (first, second):
            assert await received(layer, channel) == {"type": "doorbell", "kind": "machine.started"}

    async def test_a_member_of_two_rung_groups_hears_it_once(self, layer: NotifyLayer) -> None:
        channel = await member(layer, "machine.1", "fleet")
        await in_transaction(lambda: doorbell.ring(["machine.1", "fleet"], {"subject": "machine:1"}))
        assert await received(layer, channel) == {"type": "doorbell", "subject": "machine:1"}
        assert await heard_nothing_before(layer, channel, "fleet")

    async def test_who_left_hears_nothing(self, layer: NotifyLayer) -> None:
        channel = await member(layer, "machine.1", "fleet")
        await layer.group_discard("machine.1", channel)
        await layer.group_send("machine.1", {"type": "doorbell"})
        assert await heard_nothing_before(layer, channel, "fleet")

    async def test_a_channel_can_be_addressed_directly(self, layer: NotifyLayer) -> None:
        channel = await member(layer, "fleet")
        await layer.send(channel, {"type": "hello"})
        assert await received(layer, channel) == {"type": "hello"}


class TestTransactions:
    async def test_a_ring_arrives_when_its_transaction_commits(self, layer: NotifyLayer) -> None:
        channel = await member(layer, "machine.1")
        await in_transaction(lambda: doorbell.ring(["machine.1"], {"subject": "machine:1"}))
        assert (await received(layer, channel))["subject"] == "machine:1"

    async def test_a_ring_of_a_rolled_back_transaction_never_arrives(self, layer: NotifyLayer) -> None:
        channel = await member(layer, "machine.1")
        await in_transaction(lambda: doorbell.ring(["machine.1"], {"subject": "machine:1"}), fail=True)
        assert await heard_nothing_before(layer, channel, "machine.1")

    def test_a_message_longer_than_a_notification_is_refused_with_advice(self) -> None:
        with pytest.raises(ValueError, match="send ids"):
            notify({"type": "doorbell", "text": "x" * PAYLOAD_BYTES_MAX}, groups=["machine.1"])


class TestAnotherLayer:
    async def test_a_ring_waits_for_the_commit_there_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        layer = InMemoryChannelLayer()
        monkeypatch.setattr(doorbell, "get_channel_layer", lambda: layer)
        channel = await layer.new_channel()
        await layer.group_add("machine.1", channel)
        await in_transaction(lambda: doorbell.ring(["machine.1"], {"subject": "rolled back"}), fail=True)
        await in_transaction(lambda: doorbell.ring(["machine.1"], {"subject": "committed"}))
        assert await asyncio.wait_for(layer.receive(channel), PATIENCE_SECONDS) == {
            "type": "doorbell",
            "subject": "committed",
        }


class TestLosingTheConnection:
    async def test_every_channel_is_told_to_resync_and_hears_again(self, layer: NotifyLayer) -> None:
        channels = [await member(layer, "fleet") for _ in range(3)]
        assert await terminate_listeners() == 1
        for channel in channels:
            assert await received(layer, channel) == {"type": "layer.resync"}
        await layer.group_send("fleet", {"type": "doorbell"})
        for channel in channels:
            assert await received(layer, channel) == {"type": "doorbell"}

    async def test_it_survives_being_cut_off_again_and_again(self, layer: NotifyLayer) -> None:
        channel = await member(layer, "fleet")
        for _ in range(3):
            assert await terminate_listeners() == 1
            assert await received(layer, channel) == {"type": "layer.resync"}

    async def test_a_page_may_open_while_the_database_is_away(
        self, layer: NotifyLayer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("events.layer._CONNECT_SECONDS", 0.2)
        with monkeypatch.context() as away:
            away.setitem(connection.settings_dict, "PORT", "1")
            channel = await member(layer, "fleet")
        assert await received(layer, channel) == {"type": "layer.resync"}


class TestSlowReaders:
    async def test_a_reader_far_behind_gets_a_resync_instead_of_the_flood(self) -> None:
        layer = NotifyLayer(capacity=3)
        channel = await member(layer, "fleet")
        reader = await member(layer, "marker")
        for number in range(4):
            await layer.group_send("fleet", {"type": "doorbell", "number": number})
        assert await heard_nothing_before(layer, reader, "marker")
        assert await received(layer, channel) == {"type": "layer.resync"}

    async def test_channels_that_nobody_reads_any_more_are_forgotten(self) -> None:
        layer = NotifyLayer(expiry=0.1)
        await member(layer, "fleet")
        listener = layer._listener()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while listener.groups and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        assert not listener.groups

    async def test_the_process_holds_one_connection_however_many_pages_are_open(
        self, layer: NotifyLayer
    ) -> None:
        for _ in range(20):
            await member(layer, "fleet")
        assert await terminate_listeners() == 1


def test_django_is_on_psycopg_3() -> None:
    """The layer borrows Django's connection parameters, which name psycopg's own arguments."""
    connection.ensure_connection()
    assert isinstance(connection.connection, psycopg.Connection)
