"""The offline model: what answers when there is no key for a real one, so that everything else can be seen working.

It plays a script (`gateway.offline_script`) through the tools the client really has, and says in every text that no
real model was asked. It keeps nothing between calls: where it stands, it reads from the messages.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from gateway import offline_script
from gateway.offline_script import Block

MODEL = "autovibe-offline"
CHARACTERS_PER_TOKEN = 4
_PIECE_CHARACTERS = 48


async def respond(body: dict[str, Any]) -> dict[str, Any]:
    """Answer a Messages API request (https://docs.anthropic.com/en/api/messages); the same one always the same way."""
    digest = hashlib.sha256(_bytes(_compact(body))).hexdigest()
    content = offline_script.play(body)
    for number, block in enumerate(content):
        if block["type"] == "tool_use":
            block["id"] = f"toolu_offline_{digest[:20]}_{number}"
    reason = "tool_use" if content[-1]["type"] == "tool_use" else "end_turn"
    limit = int(body.get("max_tokens") or 1024)
    if _tokens(content) > limit:
        content, reason = _cut(content, limit), "max_tokens"
    return {
        "id": f"msg_offline_{digest[:24]}",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {**_input_usage(body), "output_tokens": min(_tokens(content), limit)},
    }


def stream(response: dict[str, Any]) -> Iterator[bytes]:
    """The same answer as server-sent events (https://docs.anthropic.com/en/api/messages-streaming)."""
    usage = {**response["usage"], "output_tokens": 1}
    begin = {**response, "content": [], "stop_reason": None, "usage": usage}
    yield _event("message_start", message=begin)
    yield _event("ping")
    for index, block in enumerate(response["content"]):
        yield from _block_events(index, block)
    ending = {"stop_reason": response["stop_reason"], "stop_sequence": response["stop_sequence"]}
    yield _event("message_delta", delta=ending, usage=response["usage"])
    yield _event("message_stop")


def _block_events(index: int, block: Block) -> Iterator[bytes]:
    if block["type"] == "tool_use":
        empty, text = {**block, "input": {}}, json.dumps(block["input"])
        kind, key = "input_json_delta", "partial_json"
    else:
        empty, text = {**block, "text": ""}, block["text"]
        kind, key = "text_delta", "text"
    yield _event("content_block_start", index=index, content_block=empty)
    for at in range(0, len(text), _PIECE_CHARACTERS):
        delta = {"type": kind, key: text[at : at + _PIECE_CHARACTERS]}
        yield _event("content_block_delta", index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _event(name: str, **data: Any) -> bytes:
    return _bytes(f"event: {name}\ndata: {_compact({'type': name, **data})}\n\n")


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _bytes(text: str) -> bytes:
    """JSON may hold halves of surrogate pairs, which UTF-8 does not; clients that cut a text make them."""
    return text.encode(errors="replace")


def _tokens(value: object) -> int:
    return max(1, len(_compact(value)) // CHARACTERS_PER_TOKEN)


def _cut(content: list[Block], limit: int) -> list[Block]:
    """What fits the token limit: the beginning of the text; a call of a tool is left out rather than broken."""
    text = str(content[0].get("text", ""))
    return [{"type": "text", "text": text[: max(1, limit * CHARACTERS_PER_TOKEN - 40)]}]


def _input_usage(body: dict[str, Any]) -> dict[str, int]:
    """Plausible figures: what a client marked for caching and sent before counts as read from the cache."""
    asked = {key: body.get(key) for key in ("system", "tools", "messages")}
    messages = body.get("messages") or []
    read = 0
    if len(messages) > 2 and '"cache_control"' in _compact(asked):
        read = _tokens({**asked, "messages": messages[:-2]})
    return {
        "input_tokens": max(1, _tokens(asked) - read),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": read,
    }
