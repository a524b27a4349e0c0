"""The offline model: what answers when there is no key for a real one, so that everything else can be seen working.

It plays a script (`gateway.offline_script`) through the tools the client really has, and says in every text that no
real model was asked. It keeps nothing between calls: where it stands, it reads from the messages.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from gateway import offline_chat, offline_responses, offline_script
from gateway.offline_script import Block
from gateway.offline_wire import as_bytes, compact, event, pieces

MODEL = "autovibe-offline"
CHARACTERS_PER_TOKEN = 4


async def answer(dialect: str, body: bytes) -> tuple[str, Iterator[bytes]]:
    """Answer a request in its dialect; returns the answer's id, and its bytes as they are to be sent."""
    asked = json.loads(body)
    if dialect == "messages":
        reply = await respond(asked)
        events = stream(reply)
    else:
        spoken = offline_chat if dialect == "chat" else offline_responses
        reply = spoken.reply(await respond(spoken.understand(asked)), asked)
        events = spoken.stream(reply, asked)
    return str(reply["id"]), events if asked.get("stream") else iter([as_bytes(compact(reply))])


async def respond(body: dict[str, Any]) -> dict[str, Any]:
    """Answer a Messages API request (https://docs.anthropic.com/en/api/messages); the same one always the same way."""
    digest = hashlib.sha256(as_bytes(compact(body))).hexdigest()
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
    yield event("message_start", message=begin)
    yield event("ping")
    for index, block in enumerate(response["content"]):
        yield from _block_events(index, block)
    ending = {"stop_reason": response["stop_reason"], "stop_sequence": response["stop_sequence"]}
    yield event("message_delta", delta=ending, usage=response["usage"])
    yield event("message_stop")


def _block_events(index: int, block: Block) -> Iterator[bytes]:
    if block["type"] == "tool_use":
        empty, text = {**block, "input": {}}, json.dumps(block["input"])
        kind, key = "input_json_delta", "partial_json"
    else:
        empty, text = {**block, "text": ""}, block["text"]
        kind, key = "text_delta", "text"
    yield event("content_block_start", index=index, content_block=empty)
    for piece in pieces(text):
        delta = {"type": kind, key: piece}
        yield event("content_block_delta", index=index, delta=delta)
    yield event("content_block_stop", index=index)


def _tokens(value: object) -> int:
    return max(1, len(compact(value)) // CHARACTERS_PER_TOKEN)


def _cut(content: list[Block], limit: int) -> list[Block]:
    """What fits the token limit: the beginning of the text; a call of a tool is left out rather than broken."""
    text = str(content[0].get("text", ""))
    return [{"type": "text", "text": text[: max(1, limit * CHARACTERS_PER_TOKEN - 40)]}]


def _input_usage(body: dict[str, Any]) -> dict[str, int]:
    """Plausible figures: what a client marked for caching and sent before counts as read from the cache."""
    asked = {key: body.get(key) for key in ("system", "tools", "messages")}
    messages = body.get("messages") or []
    read = 0
    if len(messages) > 2 and '"cache_control"' in compact(asked):
        read = _tokens({**asked, "messages": messages[:-2]})
    return {
        "input_tokens": max(1, _tokens(asked) - read),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": read,
    }
