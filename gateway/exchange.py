"""One model call on its way: asked, held for the checkpoint, passed on as it comes, settled whatever happens."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

from django.conf import settings

from gateway import calls, database, holding, offline, upstream
from gateway.calls import Admission, Outcome
from gateway.errors import Refused
from gateway.http import Answer, RawHeaders
from gateway.messages import Request
from gateway.meter import Meter, StreamMeter, WholeMeter
from gateway.models import Call

logger = logging.getLogger(__name__)

HUNG_UP = "The agent hung up before the answer was complete."
KEY_REFUSED = "The model provider refuses the gateway's key. An operator should check ANTHROPIC_API_KEY."


class Exchange:
    """The call that was admitted. `run` answers it, and ends with the hold settled in every case."""

    def __init__(self, admission: Admission, answer: Answer, *, path: str, headers: RawHeaders) -> None:
        self._admission, self._answer = admission, answer
        self._path, self._headers = path, headers
        self._began = time.monotonic()
        self._meter: Meter | None = None
        self._telling: asyncio.Task[None] | None = None
        # Asked for already; it is taken while the model thinks.
        self._checkpoint = asyncio.create_task(self._captured())
        self._outcome = Outcome(Call.State.FAILED)
        self._sent = False  # whether the provider may have seen the request
        self._settled = False

    async def run(self) -> None:
        """Raises `Refused` while nothing is answered yet; later, the connection is cut as the provider's was."""
        try:
            async with self._asked() as response:
                await self._relay(response)
        except (upstream.NotSent, upstream.BrokenOff) as error:
            self._sent = isinstance(error, upstream.BrokenOff)
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
            self._checkpoint.cancel()
            await _to_its_end(self._settle())
        await self._answer.end()

    def _asked(self) -> AbstractAsyncContextManager[upstream.Response]:
        if not settings.ANTHROPIC_API_KEY:
            return _offline(self._admission.request, self._admission.output_tokens)
        body = self._admission.request.body(self._admission.output_tokens)
        self._sent = True
        return upstream.ask("POST", self._path, self._headers, body)

    async def _relay(self, response: upstream.Response) -> None:
        self._sent = True
        self._note(
            status=response.status, request_id=response.request_id, first_byte_ms=_ms_since(self._began)
        )
        if response.status in (401, 403):  # our key, not the agent's token
            raise Refused(502, KEY_REFUSED)
        if response.status < 300:
            self._meter = StreamMeter() if response.streams else WholeMeter()
            self._tell_that_it_answers()
            await self._hold()
        await self._answer.begin(response.status, response.headers)
        async for chunk in response.chunks:
            if self._meter:
                self._meter.feed(chunk)
                # Before the agent can know that the answer is complete: its next call finds the books closed.
                if self._meter.final:
                    await _to_its_end(self._settle())
            await self._answer.write(chunk)

    async def _hold(self) -> None:
        """Keep the answer back until the checkpoint is taken. What arrives meanwhile waits in the socket."""
        since = time.monotonic()
        if not await self._checkpoint:
            await database.run(calls.checkpoint_was_late, self._admission)
        self._note(stall_ms=_ms_since(since))

    async def _captured(self) -> bool:
        checkpoint_id = self._admission.checkpoint_id
        return checkpoint_id is None or await holding.until_settled(checkpoint_id)

    def _tell_that_it_answers(self) -> None:
        """For the pages; not worth keeping the agent waiting."""
        telling = database.run(calls.answering, self._admission.call_id, self._outcome.first_byte_ms or 0)
        self._telling = asyncio.create_task(telling)

    async def _settle(self) -> None:
        if self._settled:
            return
        self._settled = True
        try:
            if self._telling:
                await self._telling
            await database.run(calls.conclude, self._admission, self._concluded())
        except Exception:  # the hold expires and is charged in full; `calls.reap` closes the call
            logger.exception("Call %s could not be settled", self._admission.call_id)

    def _concluded(self) -> Outcome:
        """What is known: the provider's figures, or the prompt's with the most it can have answered, or nothing."""
        status, meter = self._outcome.status, self._meter
        if not self._sent or (status is not None and meter is None):
            return replace(self._outcome, state=Call.State.RELEASED)
        if meter and meter.final:
            return replace(self._outcome, state=Call.State.DONE, usage=meter.usage(), error="")
        self._note(error=self._outcome.error or "The provider sent no usage figures.")
        if meter and meter.begun:
            usage = replace(meter.usage(), output_tokens=self._admission.output_tokens)
            return replace(self._outcome, usage=usage, assumed=True)
        return replace(self._outcome, in_full=True)

    def _note(self, **facts: object) -> None:
        self._outcome = replace(self._outcome, **facts)  # type: ignore[arg-type]


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do it, and be cancelled only then."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


@asynccontextmanager
async def _offline(request: Request, output_tokens: int) -> AsyncIterator[upstream.Response]:
    """The offline model's answer, in the form of a provider's."""
    await asyncio.sleep(settings.OFFLINE_MODEL_LATENCY_SECONDS)
    reply = await offline.respond({**request.parsed, "max_tokens": output_tokens})
    kind = b"text/event-stream" if request.stream else b"application/json"
    yield upstream.Response(
        status=200,
        headers=[(b"content-type", kind), (b"x-autovibe-offline", b"1")],
        request_id=str(reply["id"]),
        chunks=_pieces(reply, stream=request.stream),
        streams=request.stream,
    )


async def _pieces(reply: dict[str, object], *, stream: bool) -> AsyncIterator[bytes]:
    if not stream:
        yield json.dumps(reply).encode()
        return
    for piece in offline.stream(reply):
        yield piece


def _ms_since(moment: float) -> int:
    return round((time.monotonic() - moment) * 1000)
