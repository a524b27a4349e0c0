"""OpenAI's Responses API as far as Aider uses it: what it sends, and how the scripted answer is written."""

import json
from collections.abc import Iterator
from typing import Any

from tests.acceptance.figures import Figures
from tests.acceptance.script import Conversation, Turn

Body = dict[str, Any]


def conversation(body: Body) -> Conversation:
    items = [{"role": "user", "content": body["input"]}] if isinstance(body["input"], str) else body["input"]
    said = [(item.get("role", ""), _text(item.get("content"))) for item in items]
    spoken = [text for role, text in said if role in ("system", "developer")]
    return Conversation(
        system="\n".join([body.get("instructions") or "", *spoken]),
        users=[text for role, text in said if role == "user"],
        tools=frozenset(tool.get("name", "") for tool in body.get("tools") or []),
        results=sum(item.get("type") == "function_call_output" for item in items),
    )


def whole(body: Body, turn: Turn, figures: Figures, number: int) -> Body:
    """An answer in one piece."""
    return _response(body, number, "completed", [_item(turn, number, "completed")], _usage(figures))


def stream(body: Body, turn: Turn, figures: Figures, number: int) -> Iterator[bytes]:
    """The same as events: https://platform.openai.com/docs/api-reference/responses-streaming. Usage comes last."""
    place = {"item_id": f"msg_{number:04}", "output_index": 0, "content_index": 0}
    done = _item(turn, number, "completed")
    begun = {**done, "status": "in_progress", "content": []}
    (part,) = done["content"]
    events: list[tuple[str, Body]] = [
        ("response.created", {"response": _response(body, number, "in_progress", [], None)}),
        ("response.output_item.added", {"output_index": 0, "item": begun}),
        ("response.content_part.added", {**place, "part": {**part, "text": ""}}),
        *(
            ("response.output_text.delta", {**place, "delta": line, "logprobs": []})
            for line in turn.text.splitlines(True)
        ),
        ("response.output_text.done", {**place, "text": turn.text, "logprobs": []}),
        ("response.content_part.done", {**place, "part": part}),
        ("response.output_item.done", {"output_index": 0, "item": done}),
        ("response.completed", {"response": whole(body, turn, figures, number)}),
    ]
    for sequence, (name, data) in enumerate(events):
        said = json.dumps({"type": name, "sequence_number": sequence, **data})
        yield f"event: {name}\ndata: {said}\n\n".encode()


def _response(body: Body, number: int, status: str, output: list[Body], usage: Body | None) -> Body:
    return {
        "id": f"resp_{number:04}",
        "object": "response",
        "created_at": 1_700_000_000,
        "model": body["model"],
        "status": status,
        "error": None,
        "incomplete_details": None,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
    }


def _item(turn: Turn, number: int, status: str) -> Body:
    part = {"type": "output_text", "text": turn.text, "annotations": [], "logprobs": []}
    return {
        "id": f"msg_{number:04}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [part],
    }


def _usage(figures: Figures) -> Body:
    return {
        "input_tokens": figures.prompt,
        "input_tokens_details": {"cached_tokens": figures.cache_read},
        "output_tokens": figures.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": figures.prompt + figures.output,
    }


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part.get("text", "") for part in content)
    return content or ""
