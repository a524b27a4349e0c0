"""The Messages API as far as agents use it: what they send, and how the scripted answer is written."""

import json
from collections.abc import Iterator
from typing import Any

from tests.acceptance.figures import Figures
from tests.acceptance.script import Conversation, Turn

Body = dict[str, Any]


def conversation(body: Body) -> Conversation:
    blocks = [
        (message["role"], block) for message in body["messages"] for block in _blocks(message["content"])
    ]
    return Conversation(
        system=_text(body.get("system", "")),
        users=[block["text"] for role, block in blocks if role == "user" and block["type"] == "text"],
        tools=frozenset(tool.get("name", "") for tool in body.get("tools", [])),
        results=sum(block["type"] == "tool_result" for _, block in blocks),
    )


def whole(body: Body, turn: Turn, figures: Figures, number: int) -> Body:
    """An answer in one piece."""
    content = list(_content(turn, number, thinks=_thinks(body)))
    return {**_message(body, number), "content": content, **_stop(turn), "usage": _usage(figures)}


def stream(body: Body, turn: Turn, figures: Figures, number: int) -> Iterator[bytes]:
    """The same as server-sent events: https://docs.claude.com/en/api/messages-streaming."""
    begun = {**_usage(figures), "output_tokens": 1}
    message = {**_message(body, number), "content": [], "stop_reason": None, "usage": begun}
    yield _event("message_start", message=message)
    for index, block in enumerate(_content(turn, number, thinks=_thinks(body))):
        empty, deltas = _pieces(block)
        yield _event("content_block_start", index=index, content_block=empty)
        yield _event("ping")
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    yield _event("message_delta", delta=_stop(turn), usage={"output_tokens": figures.output})
    yield _event("message_stop")


def _thinks(body: Body) -> bool:
    return (body.get("thinking") or {}).get("type") in ("adaptive", "enabled")


def _content(turn: Turn, number: int, *, thinks: bool) -> Iterator[Body]:
    if turn.thought and thinks:
        yield {"type": "thinking", "thinking": turn.thought, "signature": f"c2lnbmVk{number:04}"}
    yield {"type": "text", "text": turn.text}
    if turn.tool:
        yield {"type": "tool_use", "id": f"toolu_{number:04}", "name": turn.tool, "input": turn.arguments}


def _pieces(block: Body) -> tuple[Body, list[Body]]:
    """A block as it begins, and what is added to it."""
    if block["type"] == "thinking":
        thought = {"type": "thinking_delta", "thinking": block["thinking"]}
        signed = {"type": "signature_delta", "signature": block["signature"]}
        return block | {"thinking": "", "signature": ""}, [thought, signed]
    if block["type"] == "tool_use":
        halves = _halves(json.dumps(block["input"]))
        return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": half} for half in halves]
    return block | {"text": ""}, [{"type": "text_delta", "text": half} for half in _halves(block["text"])]


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _message(body: Body, number: int) -> Body:
    return {"id": f"msg_{number:04}", "type": "message", "role": "assistant", "model": body["model"]}


def _stop(turn: Turn) -> Body:
    return {"stop_reason": "tool_use" if turn.tool else "end_turn", "stop_sequence": None}


def _usage(figures: Figures) -> Body:
    split = {
        "ephemeral_5m_input_tokens": figures.cache_write,
        "ephemeral_1h_input_tokens": figures.cache_write_1h,
    }
    return {
        "input_tokens": figures.input,
        "cache_creation_input_tokens": figures.cache_write + figures.cache_write_1h,
        "cache_creation": split,
        "cache_read_input_tokens": figures.cache_read,
        "output_tokens": figures.output,
        "service_tier": "standard",
    }


def _event(name: str, **data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


def _blocks(content: Any) -> list[Body]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _text(content: Any) -> str:
    return "\n".join(block.get("text", "") for block in _blocks(content))
