"""The queue's transport against a real server: who gets a task, when, and what a lost connection costs."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.tasks import async_task

from operations.broker import PostgresBroker
from tests.waiting import settled

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 20.0


@pytest.fixture
def broker() -> PostgresBroker:
    return PostgresBroker("autovibe")


def next_task(broker: PostgresBroker) -> tuple[int, str]:
    """The next task, as the cluster's pusher asks for it: again and again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if taken := broker.dequeue():
            return taken[0]
    raise AssertionError("no task came")


def drained(broker: PostgresBroker) -> list[int]:
    taken = []
    while batch := broker.dequeue():
        taken += [pk for pk, _ in batch]
    return taken


def in_thread(work: Callable[[], Any]) -> Any:
    """Run `work` on its own connection, as another process would."""
    try:
        return work()
    finally:
        connection.close()


def terminate_other_backends() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


class TestTaking:
    def test_the_settings_name_this_broker(self) -> None:
        assert isinstance(get_broker(), PostgresBroker)

    def test_tasks_come_in_the_order_they_were_put_in(self, broker: PostgresBroker) -> None:
        put_in = [broker.enqueue(f"task {number}") for number in range(3)]
        assert drained(broker) == put_in

    def test_a_taken_task_is_locked_until_it_is_acknowledged(self, broker: PostgresBroker) -> None:
        broker.enqueue("task")
        pk, payload = next_task(broker)
        assert payload == "task"
        assert (broker.queue_size(), broker.lock_size()) == (0, 1)
        broker.acknowledge(pk)
        assert not OrmQ.objects.exists()

    def test_a_task_whose_worker_vanished_comes_again_when_its_lock_ends(
        self, broker: PostgresBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Conf, "RETRY", 0.05)
        monkeypatch.setattr(Conf, "POLL", 0.05)
        put_in = broker.enqueue("task")
        assert next_task(broker)[0] == next_task(broker)[0] == put_in

    def test_another_queues_tasks_are_left_alone(self, broker: PostgresBroker) -> None:
        PostgresBroker("elsewhere").enqueue("task")
        assert drained(broker) == []

    def test_many_takers_never_get_the_same_task(self) -> None:
        put_in = {PostgresBroker("autovibe").enqueue("task") for _ in range(60)}
        with ThreadPoolExecutor(4) as pool:
            takers = [pool.submit(in_thread, lambda: drained(PostgresBroker("autovibe"))) for _ in range(4)]
            taken = [pk for taker in takers for pk in taker.result()]
        assert len(taken) == len(put_in)
        assert set(taken) == put_in


class TestWaking:
    def test_a_task_of_a_rolled_back_transaction_is_never_seen(self, broker: PostgresBroker) -> None:
        with transaction.atomic():
            broker.enqueue("task")
            transaction.set_rollback(True)
        assert drained(broker) == []

    def test_a_waiting_taker_is_woken_by_the_commit_not_by_its_poll(self, broker: PostgresBroker) -> None:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(in_thread, lambda: timed(lambda: next_task(PostgresBroker("autovibe"))))
            assert settled(a_taker_waits)  # it has looked, and would look again in five seconds
            with transaction.atomic():
                broker.enqueue("task")
                committed = time.monotonic()
        (_, payload), at = waiting.result()
        assert payload == "task"
        assert at - committed < 1.0


class TestLosingTheConnection:
    def test_the_taker_comes_back_and_misses_nothing(self, broker: PostgresBroker) -> None:
        drained(broker)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(in_thread, terminate_other_backends).result()
            put_in = pool.submit(in_thread, lambda: PostgresBroker("autovibe").enqueue("task")).result()
        assert next_task(broker)[0] == put_in

    def test_acknowledging_outlasts_it(self, broker: PostgresBroker) -> None:
        pk = broker.enqueue("task")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(in_thread, terminate_other_backends).result()
        broker.acknowledge(pk)
        assert not OrmQ.objects.exists()


class TestTheCluster:
    def test_runs_tasks_within_moments_and_goes_on_after_the_database_dropped_it(
        self, tmp_path: Path
    ) -> None:
        with qcluster():
            assert settled(a_taker_waits)
            async_task("os.mkdir", str(tmp_path / "first"))
            assert settled((tmp_path / "first").is_dir)
            terminate_other_backends()
            async_task("os.mkdir", str(tmp_path / "second"))
            assert settled((tmp_path / "second").is_dir)
            assert settled(lambda: not OrmQ.objects.exists())


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    return work(), time.monotonic()


def a_taker_waits() -> bool:
    """Whether another connection has looked for tasks and now waits for a call."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle'"
            " AND pid <> pg_backend_pid() AND query LIKE '%UPDATE django_q_ormq%'"
        )
        return bool(cursor.fetchone()[0])


@contextmanager
def qcluster() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "manage.py", "qcluster"], cwd=ROOT, env=os.environ)
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
