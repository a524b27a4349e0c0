"""The configured driver, one per thread. Only workers and the hub may import this, and consoles."""

import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection

from proxmox.driver import Driver
from proxmox.pve import PveDriver

_local = threading.local()
_WORKERS = 0x7076  # class of the advisory locks that stand for a node's API workers


@contextmanager
def api_worker(node: str) -> Iterator[None]:
    """Have one of a node's API workers, of which autovibe's processes together use PROXMOX_NODE_CALLS.

    pvedaemon has three, each of them busy with one call at a time, and people want one, too. The locks are
    PostgreSQL's: a process that dies gives its own back.
    """
    keys = [zlib.crc32(f"{node} {number}".encode()) - 2**31 for number in range(settings.PROXMOX_NODE_CALLS)]
    with connection.cursor() as cursor:
        key = next((key for key in keys if _try(cursor, key)), None)
        if key is None:
            key = keys[threading.get_native_id() % len(keys)]
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", [_WORKERS, key])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_WORKERS, key])


def _try(cursor: Any, key: int) -> bool:
    cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [_WORKERS, key])
    return bool(cursor.fetchone()[0])


def driver() -> Driver:
    """This thread's connection to the Proxmox of the settings."""
    if not hasattr(_local, "driver"):
        verify = settings.PROXMOX_VERIFY_TLS
        _local.driver = PveDriver(
            settings.PROXMOX_URL,
            settings.PROXMOX_TOKEN,
            verify_tls={"1": True, "0": False}.get(verify, verify),
            fingerprint=settings.PROXMOX_FINGERPRINT,
            pool=settings.PROXMOX_POOL,
            gate=api_worker,
        )
    made: Driver = _local.driver
    return made
