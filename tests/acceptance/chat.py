"""The Chat Completions API as far as Aider uses it: what it sends, and how the scripted answer is written."""

import json
from collections.abc import Iterator
from typing import Any

from tests.acceptance.figures import Figures
from tests.acceptance.script import Conversation, Turn

Body = dict[str, Any]


def conversation(body: Body) -> Conversation:
    said = [(message["role"], _text(message.get("content"))) for message in body["messages"]]
    return Conversation(
        system="\n".join(text for role, text in said if role in ("system", "developer")),
        users=[text for role, text in said if role == "user"],
        tools=frozenset(tool["function"]["name"] for tool in body.get("tools", [])),
        results=sum(role == "tool" for role, _ in said),
    )


def whole(body: Body, turn: Turn, figures: Figures, number: int) -> Body:
    """An answer in one piece."""
    message = {"role": "assistant", "content": turn.text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {**_head(body, number, "chat.completion"), "choices": [choice], "usage": _usage(figures)}


def stream(body: Body, turn: Turn, figures: Figures, number: int) -> Iterator[bytes]:
    """The same in chunks. Usage comes last, and only to those who ask: `stream_options.include_usage`."""
    head = _head(body, number, "chat.completion.chunk")
    wanted = (body.get("stream_options") or {}).get("include_usage")
    extra = {"usage": None} if wanted else {}
    deltas = [
        {"role": "assistant", "content": ""},
        *({"content": line} for line in turn.text.splitlines(True)),
        {},
    ]
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
        yield _data({**head, "choices": [choice], **extra})
    if wanted:
        yield _data({**head, "choices": [], "usage": _usage(figures)})
    yield b"data: [DONE]\n\n"


def _head(body: Body, number: int, kind: str) -> Body:
    return {"id": f"chatcmpl-{number:04}", "object": kind, "created": 1_700_000_000, "model": body["model"]}


def _usage(figures: Figures) -> Body:
    return {
        "prompt_tokens": figures.prompt,
        "completion_tokens": figures.output,
        "total_tokens": figures.prompt + figures.output,
        "prompt_tokens_details": {"cached_tokens": figures.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _data(chunk: Body) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part.get("text", "") for part in content)
    return content or ""
