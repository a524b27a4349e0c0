"""The offline model in Chat Completions: requests put into Messages, and its replies back."""

import json
from collections.abc import Iterator
from typing import Any

from gateway.offline_wire import as_bytes, compact, pieces, texts

_REASONS = {"tool_use": "tool_calls", "max_tokens": "length"}


def understand(asked: dict[str, Any]) -> dict[str, Any]:
    """The request as one of the Messages API."""
    messages = asked.get("messages") or []
    shape = asked.get("response_format") or {}
    schema = (shape.get("json_schema") or {}).get("schema")
    return {
        "max_tokens": asked.get("max_completion_tokens") or asked.get("max_tokens"),
        "system": "\n".join(texts(one.get("content")) for one in messages if _instructs(one)),
        "messages": [_message(one) for one in messages if not _instructs(one)],
        "tools": [
            {"name": (tool.get("function") or {}).get("name", "")} for tool in asked.get("tools") or []
        ],
        "output_config": {"format": {"type": "json_schema", "schema": schema}} if schema else {},
    }


def reply(answer: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """An answer of the Messages API as a completion; the same one as often as was asked for."""
    count, reason = asked.get("n") or 1, _REASONS.get(answer["stop_reason"], "stop")
    choice = {"message": _said(answer["content"]), "logprobs": None, "finish_reason": reason}
    return {
        "id": answer["id"].replace("msg", "chatcmpl"),
        "object": "chat.completion",
        "created": 0,
        "model": answer["model"],
        "choices": [{"index": index, **choice} for index in range(count)],
        "usage": _usage(answer["usage"], count),
    }


def stream(answered: dict[str, Any], asked: dict[str, Any]) -> Iterator[bytes]:
    """The same as server-sent events."""
    for choice in answered["choices"]:
        for delta in _deltas(choice["message"]):
            yield _chunk(answered, [{"index": choice["index"], "delta": delta, "finish_reason": None}])
        yield _chunk(
            answered, [{"index": choice["index"], "delta": {}, "finish_reason": choice["finish_reason"]}]
        )
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield _chunk(answered, [], usage=answered["usage"])
    yield b"data: [DONE]\n\n"


def _instructs(message: dict[str, Any]) -> bool:
    return message.get("role") in ("system", "developer")


def _message(message: dict[str, Any]) -> dict[str, Any]:
    said = texts(message.get("content"))
    if message.get("role") == "tool":
        result = {"type": "tool_result", "tool_use_id": str(message.get("tool_call_id")), "content": said}
        return {"role": "user", "content": [result]}
    used = [_tool_use(call) for call in message.get("tool_calls") or []]
    return {"role": message.get("role"), "content": [{"type": "text", "text": said}, *used]}


def _tool_use(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    return {"type": "tool_use", "id": str(call.get("id")), "name": str(function.get("name")), "input": {}}


def _said(content: list[dict[str, Any]]) -> dict[str, Any]:
    message = {"role": "assistant", "content": texts(content), "refusal": None}
    calls = [
        {
            "id": block["id"],
            "type": "function",
            "function": {"name": block["name"], "arguments": json.dumps(block["input"])},
        }
        for block in content
        if block["type"] == "tool_use"
    ]
    return {**message, "tool_calls": calls} if calls else message


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for piece in pieces(message["content"]):
        yield {"content": piece}
    for index, call in enumerate(message.get("tool_calls") or []):
        function = call["function"]
        yield {"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]}
        for piece in pieces(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _chunk(answered: dict[str, Any], choices: list[dict[str, Any]], **more: Any) -> bytes:
    same = {key: answered[key] for key in ("id", "created", "model")}
    return as_bytes(
        f"data: {compact({**same, 'object': 'chat.completion.chunk', 'choices': choices, **more})}\n\n"
    )


def _usage(usage: dict[str, int], count: int) -> dict[str, Any]:
    prompt = usage["input_tokens"] + usage["cache_read_input_tokens"]
    written = usage["output_tokens"] * count
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": usage["cache_read_input_tokens"]},
    }
