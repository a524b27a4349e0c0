"""A model provider for tests: a real HTTP server that answers as the Messages API does, or misbehaves as told."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.gateway import provider_openai

USAGE = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 300,
    "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
    "cache_read_input_tokens": 5000,
    "output_tokens": 1,
}
WRITTEN = 40
TEXT = ["Do or do not. ", "There is no try: “", "é\\n\\nevent: message_delta", "”"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def event(name: str, **data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data}, ensure_ascii=False)}\n\n".encode()


def beginning() -> list[bytes]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "usage": USAGE}
    block = {"type": "text", "text": ""}
    return [
        event("message_start", message=message),
        event("content_block_start", index=0, content_block=block),
    ]


def middle() -> list[bytes]:
    return [
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}) for text in TEXT
    ]


def end() -> list[bytes]:
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    return [event("message_delta", delta=delta, usage={"output_tokens": WRITTEN}), event("message_stop")]


STREAM = b"".join([*beginning(), *middle(), *end()])
WHOLE = {
    "id": "msg_1",
    "type": "message",
    "content": [{"type": "text", "text": "".join(TEXT)}],
    "usage": {**USAGE, "output_tokens": WRITTEN},
}


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Provider:
    """What it received, and how it answers next."""

    received: list[Received] = field(default_factory=list)
    answer: Handler | None = None
    hung_up: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.path_qs, headers, await request.read()))
        try:
            return await (self.answer or whole_or_stream)(request)
        except (asyncio.CancelledError, ConnectionResetError):
            self.hung_up.set()
            raise


async def whole_or_stream(request: web.Request) -> web.StreamResponse:
    if spoken := await provider_openai.answer(request):
        return spoken
    if request.path.endswith("count_tokens"):
        return web.json_response({"input_tokens": 7})
    if not json.loads(await request.read() or b"{}").get("stream"):
        return web.json_response(WHOLE, headers={"request-id": "req_provider"})
    response = await begin(request)
    for chunk in [*beginning(), *middle(), *end()]:
        await response.write(chunk)
    return response


async def begin(request: web.Request) -> web.StreamResponse:
    """The head of a stream."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream", "request-id": "req_provider"})
    await response.prepare(request)
    return response


def refusing(status: int, kind: str, **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        error = {"type": "error", "error": {"type": kind, "message": "no"}}
        return web.json_response(error, status=status, headers=headers)

    return answer


async def cut_off(request: web.Request) -> web.StreamResponse:
    """Half an answer, and then nothing."""
    response = await begin(request)
    for chunk in [*beginning(), *middle()]:
        await response.write(chunk)
    assert request.transport
    request.transport.close()
    return response


async def never_ending(request: web.Request) -> web.StreamResponse:
    """Goes on until the other side hangs up."""
    response = await begin(request)
    for chunk in beginning():
        await response.write(chunk)
    while True:
        for chunk in middle():
            await response.write(chunk)
        await asyncio.sleep(0.01)


async def silent(request: web.Request) -> web.StreamResponse:
    """Takes the request and hangs up without a word."""
    assert request.transport
    request.transport.close()
    return web.Response()
