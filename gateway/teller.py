"""Where calls meet the ledger: many at once go to the database in one statement, and commit together.

What arrives while a statement is under way waits for the next; so under load each call pays for a fraction of a
round trip and of a commit, and rows that all calls need are not fought over. A call alone waits for nobody.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString

import orjson
import psycopg
from django.db import connection

logger = logging.getLogger(__name__)

AT_ONCE_MAX = 100
# A database that restarts is back after a few seconds; whoever is asked to wait longer is better off with an error.
TRIES = 6
TRY_AGAIN_SECONDS = 0.5
# Nobody holds a row that a call needs for longer than a transaction; whoever does must not stop everybody's calls.
LOCK_SECONDS = 3
PUT_OFF_SECONDS = 2.0

Asked = dict[str, Any]
Row = Sequence[Any]


@dataclass(slots=True)
class Waiting:
    """What was asked, and where the answer goes."""

    asked: Asked
    answer: "asyncio.Future[list[Row]]"
    tries: int = 0


class Desk:
    """One statement on one connection of its own. `ask` raises psycopg's errors."""

    def __init__(self, statement: LiteralString, *, by_place: bool) -> None:
        self._statement, self._by_place = statement, by_place
        self._waiting: deque[Waiting] = deque()
        self._work: asyncio.Task[None] | None = None
        self._connection: psycopg.AsyncConnection[Row] | None = None

    async def ask(self, asked: Asked) -> list[Row]:
        """The rows for one. Once begun it is done, whatever becomes of the caller."""
        answer: asyncio.Future[list[Row]] = asyncio.get_running_loop().create_future()
        self._queue(Waiting(asked, answer))
        return await asyncio.shield(answer)

    def _queue(self, one: Waiting) -> None:
        self._waiting.append(one)
        if self._work is None:
            self._work = asyncio.create_task(self._serve())

    async def close(self) -> None:
        """Finish what was begun, and hang up."""
        if self._work:
            await asyncio.wait({self._work})
        if self._connection:
            await self._connection.close()

    async def _serve(self) -> None:
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(AT_ONCE_MAX, len(self._waiting)))]
            try:
                await self._answer(some)
            except Exception as error:
                await self._one_by_one(some, error)
        self._work = None

    async def _one_by_one(self, some: list[Waiting], error: Exception) -> None:
        """What one of them cannot have must not be denied to the others."""
        for one in some:
            try:
                if len(some) == 1:
                    raise error
                await self._answer([one])
            except psycopg.errors.LockNotAvailable as locked:
                self._put_off(one, locked)
            except Exception as its_own:
                self._fail(one, its_own)

    def _put_off(self, one: Waiting, error: Exception) -> None:
        """A row that somebody holds is asked for again in a while, others first: what was billed must be entered."""
        one.tries += 1
        if one.tries < TRIES:
            asyncio.get_running_loop().call_later(PUT_OFF_SECONDS, self._queue, one)
        else:
            self._fail(one, error)

    @staticmethod
    def _fail(one: Waiting, error: Exception) -> None:
        if not one.answer.done():
            one.answer.set_exception(error)

    async def _answer(self, some: list[Waiting]) -> None:
        rows = await self._execute([one.asked for one in some])
        for place, answer in enumerate(one.answer for one in some):
            if not answer.done():
                answer.set_result(
                    [row for row in rows if row[0] == place + 1] if self._by_place else [rows[place]]
                )

    async def _execute(self, asked: list[Asked]) -> list[Row]:
        """Asked again, both statements answer the same: a connection that breaks in between does no harm."""
        for attempt in range(TRIES):
            try:
                cursor = await (await self._connected()).execute(
                    self._statement, [orjson.dumps(asked).decode(), datetime.now(UTC)], prepare=True
                )
                return await cursor.fetchall()
            except psycopg.errors.LockNotAvailable:  # one of them: the others need not wait for it
                raise
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                logger.warning("The ledger does not answer (%s).", str(error).strip())
                await self._hang_up()
                if attempt == TRIES - 1:
                    raise
                await asyncio.sleep(TRY_AGAIN_SECONDS * 2**attempt)
        raise AssertionError("unreachable")

    async def _connected(self) -> psycopg.AsyncConnection[Row]:
        if self._connection is None:
            parameters = connection.get_connection_params()
            for name in ("cursor_factory", "context", "prepare_threshold"):  # Django's own
                parameters.pop(name, None)
            self._connection = await psycopg.AsyncConnection.connect(**parameters, autocommit=True)
            await self._connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        return self._connection

    async def _hang_up(self) -> None:
        broken, self._connection = self._connection, None
        if broken:
            await broken.close()


class Teller:
    """The desks of one event loop."""

    def __init__(self) -> None:
        self.admitting = Desk("SELECT * FROM gateway_admit(%s::jsonb, %s)", by_place=True)
        self.concluding = Desk("SELECT * FROM gateway_conclude(%s::jsonb, %s)", by_place=False)


_tellers: dict[asyncio.AbstractEventLoop, Teller] = {}


def teller() -> Teller:
    """This event loop's; made on first use, as not every ASGI server tells when it starts."""
    loop = asyncio.get_running_loop()
    if loop not in _tellers:
        _tellers[loop] = Teller()
    return _tellers[loop]


async def close() -> None:
    """Close this event loop's."""
    if gone := _tellers.pop(asyncio.get_running_loop(), None):
        await gone.admitting.close()
        await gone.concluding.close()
