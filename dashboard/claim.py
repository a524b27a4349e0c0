"""Who has a machine's console: one person at a time, over all web processes together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from django.db import connection

from events.models import Event
from machines.models import Machine

# Session-level advisory locks of this class, by the machine's number: they die with the process that holds them.
CONSOLES = 0x636F
_DJANGO_ONLY = {"cursor_factory", "context", "prepare_threshold"}


@asynccontextmanager
async def held(machine: Machine, *, seconds: float) -> AsyncIterator[psycopg.AsyncConnection[object] | None]:
    """Hold the machine's console; None when somebody else still has it after `seconds`."""
    wanted = {
        key: value for key, value in connection.get_connection_params().items() if key not in _DJANGO_ONLY
    }
    wanted |= {"application_name": "autovibe console", "connect_timeout": 5}
    async with await psycopg.AsyncConnection.connect(**wanted, autocommit=True) as claim:
        yield claim if await _lock(claim, machine.number, seconds) else None


async def _lock(claim: psycopg.AsyncConnection[object], number: int, seconds: float) -> bool:
    patience = f"{max(1, int(seconds * 1000))}ms"  # 0 would be for ever
    await claim.execute("SELECT set_config('lock_timeout', %s, false)", [patience])
    try:
        await claim.execute("SELECT pg_advisory_lock(%s, %s)", [CONSOLES, number])
    except psycopg.errors.LockNotAvailable:
        return False
    return True


def opened(machine: Machine) -> Event | None:
    """How the console was opened last: by whom, and when."""
    return Event.objects.filter(subject=machine.subject, kind="console.opened").order_by("-id").first()
