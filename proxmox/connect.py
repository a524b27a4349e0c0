"""The configured driver, one per thread. Only workers and the hub may import this, and consoles."""

import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection

from proxmox import errors
from proxmox.driver import Driver
from proxmox.pve import PveDriver

_local = threading.local()
_WORKERS = 0x7076  # class of the advisory locks that stand for a node's API workers


@contextmanager
def api_worker(path: str) -> Iterator[None]:
    """Have one of a node's API workers for a write, of which our processes together use PROXMOX_NODE_CALLS.

    pvedaemon has three, each of them busy with one call at a time, and people want one, too. The locks are
    PostgreSQL's: a process that dies gives its own back. Whether a guest agent answers is asked one guest at a time:
    while that boots, the question takes 3 s (qemu-server: Agent.pm). Raises `Transient` when another is being asked.
    """
    ping = path.endswith("/agent/ping")
    keys = _keys(f"{_node(path)} ping", 1) if ping else _keys(_node(path), settings.PROXMOX_NODE_CALLS)
    with connection.cursor() as cursor:
        key = next((key for key in keys if _try(cursor, key)), None)
        if key is None:
            if ping:
                raise errors.Transient("Another guest's agent is being asked just now.")
            key = keys[threading.get_native_id() % len(keys)]
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", [_WORKERS, key])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_WORKERS, key])


def _node(path: str) -> str:
    place, _, below = path.partition("/")
    return below.partition("/")[0] if place == "nodes" else ""


def _keys(name: str, count: int) -> list[int]:
    return [zlib.crc32(f"{name} {number}".encode()) - 2**31 for number in range(count)]


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
