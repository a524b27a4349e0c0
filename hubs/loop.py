"""The hub process: one loop that watches operations, observes guests, enforces limits and reaps what was dropped.

Any number may run; an advisory lock lets one work, and another takes over when its connection dies.
"""

import logging
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import psycopg
from django.db import close_old_connections, connection
from django.db.utils import InterfaceError, OperationalError
from psycopg.conninfo import make_conninfo

from accounts.sessions import SessionStore
from budgets import audit, book
from budgets import watch as budgets
from checkpoints import reconcile as checkpoints
from events.chain import checks as chain
from gateway import calls, recordings
from guests import observe, usage
from guests import reconcile as guests
from machines.forecast import efficiency, predict
from machines.keeping import proofs, pruning, storage
from machines.limits import asking, breakers, compute, enforce, funding
from operations import watcher
from operations.actions import WATCHER_CHANNEL
from proxmox import errors

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOCK = 0x61757476  # "autv": one active hub per database
HOUSEKEEPING_SECONDS = 3.0
RECONCILE_SECONDS = 60.0
RECONNECT_SECONDS = 1.0


class Hub:
    """The loop; `stop()` ends it after the present round."""

    def __init__(self) -> None:
        self._stopping = False
        self._next_housekeeping = 0.0
        self._next_deadline = 0.0  # of a machine whose time or compute ends
        self._next_reconciliation = 0.0

    def stop(self) -> None:
        self._stopping = True

    def run(self) -> None:
        """Work until stopped; a database that goes away is waited for."""
        while not self._stopping:
            try:
                self._lead()
            except (
                OperationalError,
                InterfaceError,
                psycopg.OperationalError,
                psycopg.InterfaceError,
            ) as error:
                logger.warning("The database went away (%s); trying again.", str(error).strip())
                connection.close()
                time.sleep(RECONNECT_SECONDS)

    def _lead(self) -> None:
        with psycopg.connect(_address(), autocommit=True) as listener:
            listener.execute(f"LISTEN {WATCHER_CHANNEL}")
            while not self._stopping and not _take_lock(listener):
                time.sleep(RECONNECT_SECONDS)
            while not self._stopping:
                self._round(listener)

    def _round(self, listener: psycopg.Connection) -> None:
        close_old_connections()
        pause = _safely(watcher.tick) or RECONNECT_SECONDS
        if time.monotonic() >= self._next_housekeeping:
            self._next_housekeeping = time.monotonic() + HOUSEKEEPING_SECONDS
            self._next_deadline = 0.0
            _do(HOUSEKEEPING)
        if time.monotonic() >= self._next_deadline:
            seconds = _safely(compute.tick) or HOUSEKEEPING_SECONDS
            self._next_deadline = time.monotonic() + seconds
        if time.monotonic() >= self._next_reconciliation:
            self._next_reconciliation = time.monotonic() + RECONCILE_SECONDS
            _do(RECONCILIATION)
        pause = min(pause, max(self._next_deadline - time.monotonic(), 0.0))
        for _ in listener.notifies(timeout=pause, stop_after=1):
            pass


def _address() -> str:
    """Where Django's own connection goes, as libpq reads it."""
    given = connection.get_connection_params()
    names = ("dbname", "user", "password", "host", "port")
    return make_conninfo(**{name: given[name] for name in names if given.get(name)})


def _take_lock(listener: psycopg.Connection) -> bool:
    row = listener.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
    return bool(row and row[0])


def _observe() -> None:
    enforce.ring_for(observe.observe())


def _do(chores: Iterable[Callable[[], object]]) -> None:
    """One after the other; in between, agents wait for tasks that have ended."""
    for chore in chores:
        _safely(chore)
        _safely(watcher.tick)


def _safely(chore: Callable[[], T]) -> T | None:
    """One chore that fails must not keep the others from being done; the database's own trouble must."""
    try:
        return chore()
    except errors.ProxmoxError as error:
        logger.warning("%s: %s", chore.__name__, error)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("%s failed.", chore.__name__)
    return None


HOUSEKEEPING: tuple[Callable[[], object], ...] = (
    watcher.reap,
    book.refresh,
    _observe,
    enforce.enforce,
    enforce.tidy,
    calls.reap,
    budgets.watch,
    breakers.mind,
    funding.resume_funded,
    asking.mind,
    efficiency.deal,
)
RECONCILIATION: tuple[Callable[[], object], ...] = (
    guests.reconcile,
    checkpoints.reconcile,
    usage.tend,
    recordings.prune,
    compute.settle,
    predict.tend,
    budgets.tend,
    audit.mind,
    chain.mind,
    pruning.tend,
    proofs.tend,
    storage.tend,
    SessionStore.clear_expired,
)
