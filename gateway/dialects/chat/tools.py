"""Tool calls of the Chat Completions API: in a conversation, and in an answer."""

from collections.abc import Iterator
from typing import Any

from gateway.dialects.base import Turn
from gateway.dialects.tools import Assembly, ToolCall, arguments_of, dicts, text_of
from gateway.dialects.whole import a_dict


def executed(messages: Any) -> list[ToolCall]:
    """Those of the model's last turn that have a result."""
    results = set()
    for message in reversed(messages if isinstance(messages, list) else []):
        if message.get("role") == "assistant":
            return [call for call in called(message) if call.id in results]
        if message.get("role") == "tool":
            results.add(text_of(message.get("tool_call_id")))
    return []


def called(message: Turn) -> list[ToolCall]:
    """Those in a message of the model."""
    return [_whole(each) for each in dicts(message.get("tool_calls"))]


def answered(said: dict[str, Any]) -> Iterator[ToolCall]:
    """Those in an answer in one piece."""
    for choice in dicts(said.get("choices")):
        yield from called(a_dict(choice.get("message")))


def feed(assembly: Assembly, choices: Any) -> None:
    """Take what an event of a stream says of them. A call ends where the next begins, or the answer ends."""
    for choice in dicts(choices):
        number = choice.get("index")
        for piece in dicts(a_dict(choice.get("delta")).get("tool_calls")):
            _piece(assembly, f"{number}.{piece.get('index')}", piece)
        if choice.get("finish_reason"):
            assembly.end_all()


def _piece(assembly: Assembly, key: str, piece: dict[str, Any]) -> None:
    kind = _kind(piece)
    if key not in assembly:
        assembly.end_all()
        assembly.begin(key, piece.get("id"), kind.get("name"))
    assembly.add(key, kind.get("arguments") or kind.get("input"))
    assembly.look(key)


def _whole(each: dict[str, Any]) -> ToolCall:
    kind = _kind(each)
    arguments = arguments_of(kind.get("arguments") or kind.get("input"))
    return ToolCall(text_of(each.get("id")), text_of(kind.get("name")), arguments)


def _kind(each: dict[str, Any]) -> dict[str, Any]:
    return a_dict(each.get("function")) or a_dict(each.get("custom"))
