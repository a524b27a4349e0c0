"""Sweeping contents that no checkpoint has any more: lists of files, parts of lists, and contents of files.

Captures write contents first and say last what has them, and what is there already they use. So nothing is swept while
one is at it: captures hold a lock together (`captures_at_work`), and the sweep takes it alone, for moments.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction

logger = logging.getLogger(__name__)

# Advisory lock: shared by captures, exclusive for the sweep. PostgreSQL drops it with the process that holds it.
_LOCK = 0x626C6F62  # "blob"
# How long the sweep waits for captures that are at work; those that come after it wait for it.
WAIT_MS = 500
AT_ONCE = 2_000
SECONDS = 60

_LISTS = """
SELECT m.digest FROM checkpoints_manifest m
WHERE NOT EXISTS (SELECT FROM checkpoints_checkpoint c WHERE c.manifest_id = m.digest) LIMIT %(limit)s
"""
_PARTS = """
SELECT digest FROM checkpoints_manifestpart EXCEPT SELECT unnest(parts) FROM checkpoints_manifest LIMIT %(limit)s
"""
_CONTENTS = """
SELECT sha256 FROM checkpoints_blob EXCEPT SELECT unnest(contents) FROM checkpoints_manifestpart LIMIT %(limit)s
"""
# What was written since they were found, by transaction numbers: it may have come to use them.
_DROP_LISTS = """
DELETE FROM checkpoints_manifest m WHERE m.digest = ANY(%(found)s)
    AND NOT EXISTS (SELECT FROM checkpoints_checkpoint c WHERE c.manifest_id = m.digest)
"""
_DROP_PARTS = """
DELETE FROM checkpoints_manifestpart WHERE digest = ANY(%(found)s)
    AND digest NOT IN (SELECT unnest(parts) FROM checkpoints_manifest WHERE age(xmin) <= age(%(since)s::xid))
"""
_DROP_CONTENTS = """
DELETE FROM checkpoints_blob WHERE sha256 = ANY(%(found)s)
    AND sha256 NOT IN (SELECT unnest(contents) FROM checkpoints_manifestpart WHERE age(xmin) <= age(%(since)s::xid))
"""
_KINDS = ((_LISTS, _DROP_LISTS), (_PARTS, _DROP_PARTS), (_CONTENTS, _DROP_CONTENTS))


@contextmanager
def captures_at_work() -> Iterator[None]:
    """Nothing is swept inside this block. Any number may be in it at the same time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock_shared(%s)", [_LOCK])
    try:
        yield
    finally:
        with suppress(OperationalError, InterfaceError), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_shared(%s)", [_LOCK])


def sweep_all() -> int:
    """Delete what nothing has any more, for a while; returns how many rows. The next time goes on from there."""
    until, swept = time.monotonic() + SECONDS, 0
    while time.monotonic() < until and (some := sweep()):
        swept += some
    return swept


def sweep() -> int:
    """Delete some of what nothing has any more; returns how many rows. 0: there was none, or captures were at work."""
    return sum(_sweep(find, drop) for find, drop in _KINDS)


def _sweep(find: str, drop: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::xid::text")
        (since,) = cursor.fetchone()
        cursor.execute(find, {"limit": AT_ONCE})
        found = [row[0] for row in cursor.fetchall()]
    return _drop(drop, {"found": found, "since": since}) if found else 0


def _drop(drop: str, asked: dict[str, Any]) -> int:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{WAIT_MS}ms"])
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            cursor.execute(drop, asked)
            return int(cursor.rowcount)
    except OperationalError as error:
        if "lock timeout" not in str(error):
            raise
        logger.info("Captures are at work; what nothing has any more is swept another time.")
        return 0
