"""A model provider that answers by a script and keeps books: `python -m tests.acceptance.upstream --port 9100`.

It serves Anthropic's Messages, and OpenAI's Chat Completions and Responses, to whoever brings its key. `GET /books`
lists the calls it has answered, each with its exact tokens; what it says is in `script`, how it counts in `figures`.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

from aiohttp import web

from tests.acceptance import chat, messages, responses, script
from tests.acceptance.figures import Counter, Figures, prompt_tokens
from tests.acceptance.script import Turn

KEY = "sk-scripted"
BYTES_MAX = 64 * 1024**2
MODELS = ("claude-sonnet-4-5", "gpt-4o", "gpt-4o-mini")


@dataclass(frozen=True, slots=True)
class Entry:
    """One answered call."""

    path: str
    agent: str  # the User-Agent
    request: dict[str, Any]
    figures: Figures


class Upstream:
    """The provider: its books, and its handlers."""

    def __init__(self) -> None:
        self.books: list[Entry] = []
        self._counter = Counter()

    def application(self) -> web.Application:
        made = web.Application(client_max_size=BYTES_MAX, middlewares=[_only_with_key])
        made.add_routes(
            [
                web.post("/v1/messages", self.messages),
                web.post("/v1/messages/count_tokens", self.count_tokens),
                web.post("/v1/chat/completions", self.chat),
                web.post("/v1/responses", self.responses),
                web.get("/v1/models", self.models),
                web.get("/books", self.show),
            ]
        )
        return made

    async def messages(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, messages, self._counter.anthropic)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, chat, self._counter.openai)

    async def responses(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, responses, self._counter.openai)

    async def count_tokens(self, request: web.Request) -> web.Response:
        return web.json_response({"input_tokens": prompt_tokens(await request.read())})

    async def models(self, request: web.Request) -> web.Response:
        data = [{"id": name, "object": "model", "type": "model", "display_name": name} for name in MODELS]
        return web.json_response({"object": "list", "data": data, "has_more": False})

    async def show(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(entry) for entry in self.books])

    async def _answer(
        self, request: web.Request, api: ModuleType, count: Callable[[str, bytes, Turn], Figures]
    ) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw)
        turn = script.turn(api.conversation(body))
        figures = count(body["model"], raw, turn)
        self.books.append(Entry(request.path, request.headers.get("user-agent", ""), body, figures))
        number = len(self.books)
        if body.get("stream"):
            return await _stream(request, api.stream(body, turn, figures, number), number)
        return web.json_response(api.whole(body, turn, figures, number), headers=_headers(number))


async def _stream(request: web.Request, events: Iterator[bytes], number: int) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream", **_headers(number)})
    await response.prepare(request)
    for event in events:
        await response.write(event)
    await response.write_eof()
    return response


def _headers(number: int) -> dict[str, str]:
    return {"request-id": f"req_{number:04}", "x-request-id": f"req_{number:04}"}


@web.middleware
async def _only_with_key(request: web.Request, handler: Any) -> web.StreamResponse:
    brought = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix(
        "Bearer "
    )
    if request.path != "/books" and brought != KEY:
        error = {"type": "authentication_error", "message": "That is not this provider's key."}
        return web.json_response({"type": "error", "error": error}, status=401)
    answer: web.StreamResponse = await handler(request)
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    print(f"http://127.0.0.1:{port}, key {KEY}, books at /books", flush=True)
    web.run_app(Upstream().application(), host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    main()
