"""The task queue's transport: django-q2's own table, claimed with SKIP LOCKED and announced with NOTIFY.

Compared with the broker that comes with it, a task starts in milliseconds instead of after the next poll.
A task may still be delivered twice; `operations.actions.claim` is what lets only one delivery through.
"""

import logging
import time
from typing import Any

import psycopg
from django import db
from django_q.brokers.orm import ORM
from django_q.conf import Conf

logger = logging.getLogger(__name__)

CHANNEL = "q_wake"

# Announced in the enqueuing transaction: nobody is called for a row that is not committed.
_ENQUEUE = f"""
    WITH added AS (
        INSERT INTO django_q_ormq (key, payload, lock) VALUES (%s, %s, clock_timestamp()) RETURNING id, key
    )
    SELECT id, pg_notify('{CHANNEL}', key) FROM added
"""
_DEQUEUE = """
    UPDATE django_q_ormq SET lock = clock_timestamp() + %s * interval '1 second'
    WHERE id IN (
        SELECT id FROM django_q_ormq WHERE key = %s AND lock <= clock_timestamp()
        ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
    )
    RETURNING id, payload
"""
# How long `dequeue` blocks at most: the cluster looks at its stop flag only between two calls.
_WAIT_SECONDS = 1.0
_BACK_OFF_SECONDS = (0.5, 1, 2, 4, 8)
_FAILURES = (db.Error, psycopg.Error)  # from Django's cursors, and from waiting on its raw connection


class PostgresBroker(ORM):  # type: ignore[misc]  # django-q2 is untyped
    """django-q2's ORM broker with another way to put in and take out; counting and deleting are inherited."""

    def __init__(self, list_key: str | None = None) -> None:
        super().__init__(list_key)
        self._listening: object = None  # the raw connection that LISTENs; Django may replace its connection
        self._look_at = 0.0  # monotonic: when to look into the table even if nobody called
        self._failures = 0

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self._listening, self._look_at, self._failures = None, 0.0, 0

    def enqueue(self, task: str) -> int:
        """Add a signed task in the caller's transaction, if there is one. Returns the row's id."""
        self.get_connection()  # outside a transaction this drops a connection that died meanwhile
        with self._database().cursor() as cursor:
            cursor.execute(_ENQUEUE, [self.list_key, task])
            return int(cursor.fetchone()[0])

    def dequeue(self) -> list[tuple[int, str]] | None:
        """Lock and return the oldest waiting tasks; None when there were none for about a second.

        A database that is away is waited for, with growing pauses: the caller would throw the process away.
        """
        try:
            taken = self._take() if self._called() else None
        except _FAILURES as error:
            self._back_off(error)
            return None
        self._failures = 0
        return taken

    def acknowledge(self, task_id: int) -> None:
        """Forget a finished task. Outlasts a database restart, or the task would be delivered again."""
        for seconds in _BACK_OFF_SECONDS:
            try:
                self.delete(task_id)
            except _FAILURES:
                self._database().close()
                time.sleep(seconds)
            else:
                return
        self.delete(task_id)

    def info(self) -> str:
        return "PostgreSQL (SKIP LOCKED, NOTIFY)"

    def _take(self) -> list[tuple[int, str]] | None:
        with self._database().cursor() as cursor:
            cursor.execute(_DEQUEUE, [Conf.RETRY, self.list_key, Conf.BULK])
            taken = sorted(cursor.fetchall())
        # While there was something there may be more; an empty table is left alone until someone calls.
        self._look_at = 0.0 if taken else time.monotonic() + Conf.POLL
        return taken or None

    def _called(self) -> bool:
        """Whether to look into the table: a task was announced, or nothing was heard for a while."""
        if self._listen_anew() or time.monotonic() >= self._look_at:
            return True
        raw = self._database().connection
        patience_seconds = min(_WAIT_SECONDS, max(0.0, self._look_at - time.monotonic()))
        announced = [note.payload for note in raw.notifies(timeout=patience_seconds, stop_after=1)]
        return self.list_key in announced

    def _listen_anew(self) -> bool:
        """LISTEN if this connection does not yet; True if so, since calls may have been missed."""
        self.get_connection()
        database = self._database()
        database.ensure_connection()
        if self._listening is database.connection:
            return False
        with database.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        self._listening = database.connection
        return True

    def _back_off(self, error: Exception) -> None:
        if not self._failures:
            logger.warning("The task queue waits for the database: %s", str(error).strip())
        self._database().close()
        time.sleep(_BACK_OFF_SECONDS[min(self._failures, len(_BACK_OFF_SECONDS) - 1)])
        self._failures += 1

    def _database(self) -> Any:
        return db.connections[Conf.ORM]
