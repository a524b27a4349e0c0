"""The offline model in Responses: requests put into Messages, and its replies back."""

import json
from collections.abc import Iterator
from typing import Any

from gateway.offline_wire import event, pieces, texts

Item = dict[str, Any]


def understand(asked: dict[str, Any]) -> dict[str, Any]:
    """The request as one of the Messages API."""
    given = asked.get("input") or []
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    shape = (asked.get("text") or {}).get("format") or {}
    told = [texts(item.get("content")) for item in items if _instructs(item)]
    return {
        "max_tokens": asked.get("max_output_tokens"),
        "system": "\n".join([asked.get("instructions") or "", *told]),
        "messages": [message for item in items if not _instructs(item) if (message := _message(item))],
        "tools": [{"name": str(tool.get("name", ""))} for tool in asked.get("tools") or []],
        "output_config": {"format": shape} if shape.get("type") == "json_schema" else {},
    }


def reply(answer: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """An answer of the Messages API as a response."""
    cut = answer["stop_reason"] == "max_tokens"
    mark = answer["id"].removeprefix("msg_")
    return {
        "id": f"resp_{mark}",
        "object": "response",
        "created_at": 0,
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "error": None,
        "instructions": asked.get("instructions"),
        "metadata": {},
        "model": answer["model"],
        "output": [_item(block, f"{mark}_{index}") for index, block in enumerate(answer["content"])],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": _usage(answer["usage"]),
    }


def stream(answered: dict[str, Any], asked: dict[str, Any]) -> Iterator[bytes]:
    """The same as server-sent events."""
    beginning = {**answered, "status": "in_progress", "output": [], "usage": None}
    events = [
        ("response.created", {"response": beginning}),
        ("response.in_progress", {"response": beginning}),
    ]
    for index, item in enumerate(answered["output"]):
        events.extend(_item_events(index, item))
    events.append((f"response.{answered['status']}", {"response": answered}))
    for number, (name, data) in enumerate(events):
        yield event(name, sequence_number=number, **data)


def _instructs(item: Item) -> bool:
    return item.get("role") in ("system", "developer")


def _message(item: Item) -> dict[str, Any] | None:
    if item.get("type") == "function_call":
        used = {
            "type": "tool_use",
            "id": str(item.get("call_id")),
            "name": str(item.get("name")),
            "input": {},
        }
        return {"role": "assistant", "content": [used]}
    if item.get("type") == "function_call_output":
        said = texts(item.get("output"))
        result = {"type": "tool_result", "tool_use_id": str(item.get("call_id")), "content": said}
        return {"role": "user", "content": [result]}
    return {"role": item["role"], "content": texts(item.get("content"))} if "role" in item else None


def _item(block: dict[str, Any], mark: str) -> Item:
    if block["type"] == "tool_use":
        call = {"call_id": block["id"], "name": block["name"], "arguments": json.dumps(block["input"])}
        return {"type": "function_call", "id": f"fc_{mark}", "status": "completed", **call}
    part = {"type": "output_text", "text": block["text"], "annotations": [], "logprobs": []}
    return {
        "type": "message",
        "id": f"msg_{mark}",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }


def _item_events(index: int, item: Item) -> Iterator[tuple[str, dict[str, Any]]]:
    begun: Item = {**item, "status": "in_progress"}
    if item["type"] == "function_call":
        begun["arguments"] = ""
        inner = _argument_events({"output_index": index, "item_id": item["id"]}, item["arguments"])
    else:
        begun["content"] = []
        at = {"output_index": index, "item_id": item["id"], "content_index": 0}
        inner = _text_events(at, item["content"][0])
    yield "response.output_item.added", {"output_index": index, "item": begun}
    yield from inner
    yield "response.output_item.done", {"output_index": index, "item": item}


def _argument_events(at: dict[str, Any], arguments: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for piece in pieces(arguments):
        yield "response.function_call_arguments.delta", {**at, "delta": piece}
    yield "response.function_call_arguments.done", {**at, "arguments": arguments}


def _text_events(at: dict[str, Any], part: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "response.content_part.added", {**at, "part": {**part, "text": ""}}
    for piece in pieces(part["text"]):
        yield "response.output_text.delta", {**at, "delta": piece, "logprobs": []}
    yield "response.output_text.done", {**at, "text": part["text"], "logprobs": []}
    yield "response.content_part.done", {**at, "part": part}


def _usage(usage: dict[str, int]) -> dict[str, Any]:
    prompt = usage["input_tokens"] + usage["cache_read_input_tokens"]
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": usage["cache_read_input_tokens"]},
        "output_tokens": usage["output_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + usage["output_tokens"],
    }
