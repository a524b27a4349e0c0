"""One call on its way through the upstreams: the next is asked where one fails, and again after a while.

Before an answer has begun, and only where nobody can have been billed. What a paid upstream may have seen and worked on
(the connection broke, or somebody in between gave up waiting) is never sent a second time.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from budgets.prices import Usage
from gateway.errors import Refused
from gateway.upstreams import health, refusals, transport
from gateway.upstreams.choice import Offers
from gateway.upstreams.registry import Target
from gateway.upstreams.transport import BrokenOff, NotSent, RawHeaders, Response

# Whoever says that has waited for an answer, which somebody may have been writing all the time.
MAYBE_BILLED = frozenset({408, 504, 524})
# The provider's own errors: no provider charges for those.
_PASSING = frozenset({429, 500, 502, 503, 520, 521, 522, 523, 529})
# About the key or its account, and nothing that the agent could mend.
_OUR_TROUBLE = frozenset({401, 402, 403})
# As the clients of both providers do: half a second, doubled each time, up to eight.
_BACK_OFF_SECONDS, _BACK_OFF_SECONDS_MAX = 0.5, 8.0
_BYTES_PER_TOKEN = 4  # typical; only for limits per minute, and put right after the call


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is to be sent, and for which project (`whose`).

    `metered`: it counts for limits per minute. What does not is about nothing but itself: providers limit it apart, and
    no budget keeps a guest from asking until it is refused.
    """

    dialect: str
    model: str
    path: str
    headers: RawHeaders
    body: bytes
    method: str = "POST"
    metered: bool = True
    patience_seconds: float = 0.0
    whose: str = ""


class Attempts:
    """Asks upstreams until one answers. What is known at any moment is what a hang-up at that moment is charged by."""

    def __init__(self, outgoing: Outgoing, offers: Offers) -> None:
        """`offers` are those that the call was admitted with, so that nobody is asked whose price was not looked at."""
        self._outgoing, self._offers = outgoing, offers
        self._tokens = len(outgoing.body) // _BYTES_PER_TOKEN if outgoing.metered else 0
        self.count = 0  # requests that were sent
        self.pending = False  # somebody may be working on one of them
        self.target: Target | None = None  # who was asked last
        self._until = time.monotonic() + outgoing.patience_seconds
        self._rounds = 0
        self._not_before: dict[str, float] = {}
        self._out: set[str] = set()  # of no use for this call
        self._last: Response | None = None  # the best that can be handed on, if nobody answers
        self._sentence = ""

    @asynccontextmanager
    async def answer(self) -> AsyncIterator[Response]:
        """The first good answer, or the last bad one. Raises `Refused`, `NotSent` or `BrokenOff`."""
        async with AsyncExitStack() as held:
            yield await self._answer(held)

    def corrected(self, usage: Usage) -> None:
        """The true figures, for limits per minute; what is read from the cache does not count there."""
        if self.target:
            counted = usage.prompt_tokens - usage.cache_read_tokens + usage.output_tokens
            health.corrected(self.target, counted - self._tokens)

    async def _answer(self, held: AsyncExitStack) -> Response:
        while True:
            targets = self._targets()
            for target in targets:
                if self._wait_for(target) > 0:
                    continue
                if response := await self._try(target, held):
                    return response
            self._rounds += 1
            wait = min(map(self._wait_for, self._targets()), default=None)
            if wait is None or time.monotonic() + wait > self._until:
                return self._last_word(wait)
            await asyncio.sleep(wait)

    def _targets(self) -> list[Target]:
        """Those that are of use for this call: first the ones that are well."""
        usable = [
            target
            for target in self._offers.targets
            if target.identity not in self._out and not health.is_aside(target, self._outgoing.whose)
        ]
        return sorted(usable, key=health.is_troubled)

    def _wait_for(self, target: Target) -> float:
        asked_for = self._not_before.get(target.identity, 0.0) - time.monotonic()
        if not self._outgoing.metered:
            return asked_for
        return max(
            asked_for,
            health.seconds_until_usable(target, self._outgoing.model, self._tokens, self._outgoing.whose),
        )

    async def _try(self, target: Target, held: AsyncExitStack) -> Response | None:
        """Ask one. Returns what can be answered with; None: somebody else may do better."""
        self.target, self.pending = target, True
        self.count += 1
        if self._outgoing.metered:
            health.taken(target, self._tokens)
        try:
            async with AsyncExitStack() as attempt:
                response = await attempt.enter_async_context(self._ask(target))
                if response.status not in _PASSING | _OUR_TROUBLE | {404}:
                    health.well(target)
                    held.push_async_exit(attempt.pop_all())
                    return response
                self.pending = False  # it has failed: nobody works on it any more
                response = await _whole(response)
        except NotSent as error:
            self._failed(target, str(error))
            return None
        except BrokenOff as error:
            if not target.free:
                raise
            self._failed(target, str(error))
            return None
        self._note(target, response)
        return None

    def _ask(self, target: Target) -> AbstractAsyncContextManager[Response]:
        out = self._outgoing
        return transport.ask(
            target, out.method, out.path, dialect=out.dialect, headers=out.headers, body=out.body
        )

    def _failed(self, target: Target, sentence: str) -> None:
        """It could not be reached, or, as it is free, nobody minds what it did."""
        self.pending = False
        self._sentence = sentence
        health.troubled(target)
        self._put_off(target, None)

    def _note(self, target: Target, response: Response) -> None:
        """An error that was answered: who is to be asked when, and is it worth handing on?"""
        health.corrected(target, -self._tokens)
        if response.status in _OUR_TROUBLE:
            self._out.add(target.identity)
            self._sentence = refusals.sentence(target, response.status)
            refusals.look_into(target, response.status, self._outgoing.whose)
            return
        self._last = response
        if response.status == 404 or not response.retryable:
            self._out.add(target.identity)
            return
        wait = self._put_off(target, response.retry_after)
        if not self._outgoing.metered:
            return
        if response.status == 429:
            health.cool(target, self._outgoing.model, wait, self._outgoing.whose)
        else:
            health.troubled(target)

    def _put_off(self, target: Target, asked_for: float | None) -> float:
        """Not before so many seconds: what it asks for, but longer each time, and never many callers in step."""
        backed_off = min(_BACK_OFF_SECONDS * 2**self._rounds, _BACK_OFF_SECONDS_MAX)
        wait: float = max(asked_for or 0.0, backed_off * random.uniform(0.75, 1.25))
        self._not_before[target.identity] = time.monotonic() + wait
        return wait

    def _last_word(self, wait: float | None) -> Response:
        """Nobody answered. What an upstream said is handed on; else it is said why nobody was asked."""
        if self._last:
            return self._last
        if self._sentence:
            raise NotSent(self._sentence)
        if wait is not None:
            raise Refused(
                429,
                f"All upstreams for {self._outgoing.model} are at their limits per minute.",
                retry_after_seconds=int(wait) + 1,
            )
        raise self._nobody()

    def _nobody(self) -> Refused:
        if self._offers.targets:  # all of them are put aside
            return Refused(502, refusals.sentence(self._offers.targets[0], 401))
        return Refused(
            404,
            f"No upstream serves the model {self._outgoing.model} in this API. "
            "An operator can add one: bin/autovibe upstream add.",
        )


async def _whole(response: Response) -> Response:
    """The same, read to its end: errors are short, and the connection is free again."""
    body = b"".join([chunk async for chunk in response.chunks])
    return replace(response, chunks=_once(body))


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
