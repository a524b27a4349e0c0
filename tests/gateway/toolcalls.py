"""Answers in which a model calls tools, as the three APIs stream them: a list of events."""

import json
from typing import Any

from gateway.dialects.tools import ToolCall
from tests.gateway.provider import beginning, end, event
from tests.gateway.provider_openai import CHAT_USAGE_EVENT, RESPONSE, chunk, response_event

PIECE = 7  # characters


def messages_stream(*calls: ToolCall) -> list[bytes]:
    """Of the Messages API: a text, then the calls."""
    said = [*beginning(), event("content_block_stop", index=0)]
    for index, call in enumerate(calls, 1):
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        said.append(event("content_block_start", index=index, content_block=block))
        for piece in _pieces(call):
            delta = {"type": "input_json_delta", "partial_json": piece}
            said.append(event("content_block_delta", index=index, delta=delta))
        said.append(event("content_block_stop", index=index))
    return [*said, *end()]


def chat_stream(*calls: ToolCall) -> list[bytes]:
    """Of the Chat Completions API."""
    said = [chunk([{"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": None}])]
    for index, call in enumerate(calls):
        first = {
            "index": index,
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": ""},
        }
        said.append(_delta(first))
        said += [_delta({"index": index, "function": {"arguments": piece}}) for piece in _pieces(call)]
    said.append(chunk([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]))
    return [*said, CHAT_USAGE_EVENT, b"data: [DONE]\n\n"]


def responses_stream(*calls: ToolCall) -> list[bytes]:
    """Of the Responses API."""
    said = [response_event("response.created", response={**RESPONSE, "output": [], "usage": None})]
    for index, call in enumerate(calls):
        written = _written(call)
        item = {"type": "function_call", "id": f"fc_{index}", "call_id": call.id, "name": call.name}
        place = {"output_index": index, "item_id": item["id"]}
        said.append(
            response_event("response.output_item.added", output_index=index, item={**item, "arguments": ""})
        )
        for piece in _pieces(call):
            said.append(response_event("response.function_call_arguments.delta", delta=piece, **place))
        done = {"type": "response.function_call_arguments.done", "arguments": written, "name": call.name}
        said.append(f"data: {json.dumps({**done, **place})}\n\n".encode())
        said.append(
            response_event(
                "response.output_item.done", output_index=index, item={**item, "arguments": written}
            )
        )
    return [*said, response_event("response.completed", response=RESPONSE)]


def _delta(call: dict[str, Any]) -> bytes:
    return chunk([{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}])


def _pieces(call: ToolCall) -> list[str]:
    written = _written(call)
    size = max(PIECE, len(written) // 20)
    return [written[at : at + size] for at in range(0, len(written), size)]


def _written(call: ToolCall) -> str:
    return call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
