"""One model call on its way: asked, held for the checkpoint, passed on as it comes, settled whatever happens."""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

from django.conf import settings

from gateway import offline, recordings, replay, settlement
from gateway.admitted import Admission
from gateway.dialects.base import Meter, Request
from gateway.errors import Refused
from gateway.http import Answer, RawHeaders
from gateway.keeping import Keeper
from gateway.models import Call
from gateway.settlement import Outcome
from gateway.upstreams.failover import MAYBE_BILLED, Attempts, Outgoing
from gateway.upstreams.transport import BrokenOff, NotSent, Response

logger = logging.getLogger(__name__)

_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?")
# After the agent hung up; long enough for what has been sent, too short for a provider to write much more.
HEAR_OUT_SECONDS = 0.5
HUNG_UP = "The agent hung up before the answer was complete."
# Told to the agent when the last of its budget, which was kept for this, has been broken into.
LANDING = (
    "[autovibe] The budget of this task is almost spent. Wrap up now: begin nothing new, leave the work in a state "
    "that runs, commit it if you have been committing, and end with what is done and what is left to do."
)


class Exchange:
    """The call that was admitted. `run` answers it, and ends with the hold settled in every case."""

    def __init__(self, admission: Admission, answer: Answer, *, path: str, headers: RawHeaders) -> None:
        self._admission, self._answer = admission, answer
        self._attempts = Attempts(_outgoing(admission, path, headers), admission.offers)
        self._began = time.monotonic()
        self._meter: Meter | None = None
        self._keeper = Keeper(admission)
        self._outcome = Outcome(Call.State.FAILED)
        self._settled = False
        self._recorder = recordings.recorder(admission)

    async def run(self) -> None:
        """Raises `Refused` while nothing is answered yet; later, the connection is cut as the provider's was."""
        try:
            async with self._asked() as response:
                await self._relay(response)
        except (NotSent, BrokenOff) as error:
            self._note(error=str(error))
            if not self._answer.begun:
                raise Refused(502, str(error)) from error
            return
        except Refused as refused:
            self._note(error=str(refused))
            raise
        except asyncio.CancelledError:
            self._note(error=HUNG_UP)
            raise
        except Exception as error:
            self._note(error=f"The gateway failed: {error!r}")
            raise
        finally:
            self._recorder.finish()
            await _to_its_end(self._settle())
            await _to_its_end(self._keeper.finish())
        await self._answer.end()

    def _asked(self) -> AbstractAsyncContextManager[Response]:
        if self._admission.machine.replays_id:
            return replay.respond(self._admission)
        if self._admission.offers.offline:
            return _offline(self._admission.request, self._admission.output_tokens)
        return self._attempts.answer()

    async def _relay(self, response: Response) -> None:
        self._note(
            status=response.status, request_id=response.request_id, first_byte_ms=_ms_since(self._began)
        )
        self._recorder.begin(response)
        if response.status < 300:
            self._meter = self._admission.request.meter(streams=response.streams)
            settlement.answering(self._admission, self._outcome.first_byte_ms or 0)
        try:
            await self._pass_on(response)
        except asyncio.CancelledError:
            await _to_its_end(self._hear_out(response))
            raise

    async def _pass_on(self, response: Response) -> None:
        if self._meter:
            await self._keeper.before_answer()
        await self._answer.begin(response.status, response.headers)
        async for chunk in response.chunks:
            self._recorder.chunk(chunk)
            if seen := await self._metered(chunk):
                await self._answer.write(seen)
        self._recorder.end()
        if kept := await self._ended():
            await self._answer.write(kept)

    async def _hear_out(self, response: Response) -> None:
        """The agent is gone, but the answer may be here already: then its figures are charged, and not the bound."""
        if self._meter is None or self._meter.final:
            return
        with contextlib.suppress(TimeoutError, NotSent, BrokenOff):
            async with asyncio.timeout(HEAR_OUT_SECONDS):
                async for chunk in response.chunks:
                    self._recorder.chunk(chunk)
                    self._meter.feed(chunk)
                self._recorder.end()
                self._meter.end()

    async def _metered(self, chunk: bytes) -> bytes:
        """What of it the agent is to see."""
        if self._meter is None:
            return chunk
        seen = self._meter.feed(chunk)
        await self._heed(self._meter, ended=False)
        return seen

    async def _ended(self) -> bytes:
        """What was kept back until now."""
        if self._meter is None:
            return b""
        kept = self._meter.end()
        await self._heed(self._meter, ended=True)
        return kept

    async def _heed(self, meter: Meter, *, ended: bool) -> None:
        """What has to be done before the agent sees what has just been read.

        Before it can know that the answer is complete, the books are closed: its next call finds them so.
        """
        if called := meter.tools.take():
            await self._keeper.before_tools(called)
        if meter.final and not self._settled:
            await _to_its_end(self._settle())
        if meter.final or ended:
            await self._keeper.before_end()

    async def _settle(self) -> None:
        if self._settled:
            return
        self._settled = True
        try:
            await settlement.conclude(self._admission, self._concluded())
        except Exception:  # the hold expires and is charged in full; `calls.reap` closes the call
            logger.exception("Call %s could not be settled", self._admission.call_id)

    def _concluded(self) -> Outcome:
        """What is known: the provider's figures, or the prompt's with the most it can have answered, or nothing."""
        self._note(**_who_answered(self._attempts), stall_ms=self._keeper.stalled_ms)
        meter = self._meter
        if not meter and not self._may_be_billed():
            return replace(self._outcome, state=Call.State.RELEASED)
        if meter and meter.final:
            self._attempts.corrected(meter.usage())
            return replace(self._outcome, state=Call.State.DONE, usage=meter.usage(), error="")
        self._note(error=self._outcome.error or "The provider sent no usage figures.")
        if meter and meter.begun:
            usage = replace(meter.usage(), output_tokens=self._admission.output_tokens)
            return replace(self._outcome, usage=usage, assumed=True)
        return replace(self._outcome, in_full=True)

    def _may_be_billed(self) -> bool:
        """Without an answer: whether somebody may have worked on one all the same."""
        status, target = self._outcome.status, self._attempts.target
        if status is None:
            return self._attempts.pending
        return status in MAYBE_BILLED and not (target and target.free)

    def _note(self, **facts: object) -> None:
        self._outcome = replace(self._outcome, **facts)  # type: ignore[arg-type]


def _outgoing(admission: Admission, path: str, headers: RawHeaders) -> Outgoing:
    request = admission.request
    return Outgoing(
        dialect=request.dialect.name,
        model=request.model,
        path=path,
        headers=request.headers(headers, admission.price),
        whose=str(admission.machine.project_id),
        body=request.body(admission.output_tokens, notice=LANDING if admission.landing else ""),
        patience_seconds=_patience(headers),
    )


def _patience(headers: RawHeaders) -> float:
    """How long upstreams may be waited for; at most half of what the agent waits, the rest is for the answer.

    The clients of both providers say how many seconds they wait for the first byte: those in JavaScript in
    `X-Stainless-Timeout`, those in Python in `X-Stainless-Read-Timeout`. Source: openai-node, openai-python.
    """
    names = (b"x-stainless-timeout", b"x-stainless-read-timeout")
    said = [value.decode("latin-1") for name, value in headers if name in names]
    waits = [float(value) / 2 for value in said if _SECONDS.fullmatch(value)]
    return min([float(settings.GATEWAY_PATIENCE_SECONDS), *waits])


def _who_answered(attempts: Attempts) -> dict[str, object]:
    target = attempts.target
    return {
        "attempts": attempts.count,
        "upstream": target.name if target else "",
        "free": target is not None and target.free,
    }


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do it, and be cancelled only then."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


@asynccontextmanager
async def _offline(request: Request, output_tokens: int) -> AsyncIterator[Response]:
    """The offline model's answer, in the form of a provider's."""
    await asyncio.sleep(settings.OFFLINE_MODEL_LATENCY_SECONDS)
    reply_id, pieces = await offline.answer(request.dialect.name, request.body(output_tokens))
    kind = b"text/event-stream" if request.stream else b"application/json"
    yield Response(
        status=200,
        headers=[(b"content-type", kind), (b"x-autovibe-offline", b"1")],
        request_id=reply_id,
        chunks=_each(pieces),
        streams=request.stream,
    )


async def _each(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _ms_since(moment: float) -> int:
    return round((time.monotonic() - moment) * 1000)
