"""Tool calls of the Messages API: in a conversation, and in an answer. https://docs.claude.com/en/api/messages-streaming"""

from typing import Any

from gateway.dialects import encoding
from gateway.dialects.base import Turn
from gateway.dialects.tools import Assembly, ToolCall, arguments_of, dicts, text_of
from gateway.dialects.whole import a_dict


def executed(messages: Any) -> list[ToolCall]:
    """Those of the model's last turn that have a result."""
    results: dict[str, bool] = {}
    for message in reversed(messages if isinstance(messages, list) else []):
        if message.get("role") == "assistant":
            calls = called(message)
            return [call._replace(failed=results[call.id]) for call in calls if call.id in results]
        for block in dicts(message.get("content")):
            if block.get("type") == "tool_result":
                results[text_of(block.get("tool_use_id"))] = block.get("is_error") is True
    return []


def called(message: Turn) -> list[ToolCall]:
    """Those in a message of the model."""
    return [
        ToolCall(text_of(block.get("id")), text_of(block.get("name")), arguments_of(block.get("input")))
        for block in dicts(message.get("content"))
        if block.get("type") == "tool_use"
    ]


def feed(assembly: Assembly, kind: bytes, event: dict[str, Any]) -> None:
    """Take an event of a stream that concerns a block."""
    key = event.get("index")
    if not isinstance(key, int):
        return
    if kind == b"content_block_start":
        _begin(assembly, key, a_dict(event.get("content_block")))
    elif kind == b"content_block_stop":
        assembly.end(key)
    else:
        assembly.add(key, a_dict(event.get("delta")).get("partial_json"))


def _begin(assembly: Assembly, key: int, block: dict[str, Any]) -> None:
    if block.get("type") != "tool_use":
        return
    assembly.begin(key, block.get("id"), block.get("name"))
    if block.get("input"):  # usually it comes in pieces
        assembly.add(key, encoding.encode(block["input"]).decode(errors="replace"))
