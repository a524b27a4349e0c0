"""A model provider for benchmarks: Anthropic Messages and OpenAI Chat Completions, whole and streamed.

It counts the tokens it read and wrote. That is the truth that gateways' books are compared with.

    .venv/bin/python -m benchmarks.upstream --port 9100
"""

import argparse
import asyncio
import json
from dataclasses import asdict, dataclass
from typing import Any

import uvloop
from aiohttp import web

WORD = "tok "
HEAD_TOKENS = 7  # what the provider adds to each prompt of one message


@dataclass
class Pace:
    """How it answers: after `think_seconds`, one token every `token_seconds` (0: all at once)."""

    output_tokens: int = 100
    think_seconds: float = 0.0
    token_seconds: float = 0.0


@dataclass
class Truth:
    """What it would have billed."""

    calls: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0


class Provider:
    def __init__(self) -> None:
        self.pace, self.truth = Pace(), Truth()

    def application(self) -> web.Application:
        made = web.Application(client_max_size=64 * 1024**2)
        made.router.add_post("/v1/messages", self.messages)
        made.router.add_post("/v1/chat/completions", self.chat)
        made.router.add_put("/pace", self.set_pace)
        made.router.add_get("/truth", self.tell)
        return made

    async def set_pace(self, request: web.Request) -> web.Response:
        """Change the pace; start counting anew."""
        self.pace, self.truth = Pace(**await request.json()), Truth()
        return web.Response()

    async def tell(self, request: web.Request) -> web.Response:
        return web.json_response(asdict(self.truth))

    async def messages(self, request: web.Request) -> web.StreamResponse:
        asked, prompt, output = await self._begin(request)
        if not asked.get("stream"):
            return await self._whole(_message(asked["model"], prompt, output), output)
        return await self._stream(request, output, *_message_events(asked["model"], prompt, output))

    async def chat(self, request: web.Request) -> web.StreamResponse:
        asked, prompt, output = await self._begin(request)
        if not asked.get("stream"):
            return await self._whole(_completion(asked["model"], prompt, output), output)
        usage = (asked.get("stream_options") or {}).get("include_usage")
        return await self._stream(
            request, output, *_completion_events(asked["model"], prompt, output if usage else 0)
        )

    async def _begin(self, request: web.Request) -> tuple[dict[str, Any], int, int]:
        asked = await request.json()
        prompt = prompt_tokens(asked)
        most = asked.get("max_completion_tokens") or asked["max_tokens"]
        self.truth.calls += 1
        self.truth.prompt_tokens += prompt
        return asked, prompt, min(self.pace.output_tokens, most)

    async def _whole(self, answer: dict[str, Any], output: int) -> web.Response:
        await asyncio.sleep(self.pace.think_seconds)
        self.truth.output_tokens += output
        return web.json_response(answer)

    async def _stream(
        self, request: web.Request, output: int, head: bytes, word: bytes, tail: bytes
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.sleep(self.pace.think_seconds)
        await response.write(head)
        due = asyncio.get_running_loop().time()
        for _ in range(output):
            if self.pace.token_seconds:
                due += self.pace.token_seconds  # being late once makes the rest no later
                await asyncio.sleep(max(due - asyncio.get_running_loop().time(), 0))
            self.truth.output_tokens += 1
            await response.write(word)
        await response.write(tail)
        return response


def prompt_tokens(asked: dict[str, Any]) -> int:
    """Four ASCII characters to a token, and one of any other: about what real tokenizers come to."""
    text = "".join(_text(message["content"]) for message in asked["messages"])
    ascii_only = sum(character.isascii() for character in text) if not text.isascii() else len(text)
    return HEAD_TOKENS + round(ascii_only / 4) + len(text) - ascii_only


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)


def _message(model: str, prompt: int, output: int) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": WORD * output}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": prompt, "output_tokens": output},
    }


def _message_events(model: str, prompt: int, output: int) -> tuple[bytes, bytes, bytes]:
    start = {**_message(model, prompt, 0), "content": [], "stop_reason": None}
    block = {"type": "text", "text": ""}
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    return (
        _named("message_start", message=start) + _named("content_block_start", index=0, content_block=block),
        _named("content_block_delta", index=0, delta={"type": "text_delta", "text": WORD}),
        _named("content_block_stop", index=0)
        + _named("message_delta", delta=end, usage={"output_tokens": output})
        + _named("message_stop"),
    )


def _named(name: str, **data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


def _completion(model: str, prompt: int, output: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": WORD * output}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": _completion_usage(prompt, output),
    }


def _completion_usage(prompt: int, output: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}


def _completion_events(model: str, prompt: int, reported: int) -> tuple[bytes, bytes, bytes]:
    """`reported`: output tokens of the usage chunk; 0 for none, as when `include_usage` was not asked for."""

    def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
        data = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
        return f"data: {json.dumps({**data, 'choices': choices, **more})}\n\n".encode()

    def delta(finish: str | None = None, **content: str) -> bytes:
        return chunk([{"index": 0, "delta": content, "finish_reason": finish}])

    usage = chunk([], usage=_completion_usage(prompt, reported)) if reported else b""
    return (
        delta(role="assistant", content=""),
        delta(content=WORD),
        delta("stop") + usage + b"data: [DONE]\n\n",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    uvloop.install()
    web.run_app(
        Provider().application(),
        host="127.0.0.1",
        port=parser.parse_args().port,
        access_log=None,
        print=None,
        handler_cancellation=True,
    )


if __name__ == "__main__":
    main()
