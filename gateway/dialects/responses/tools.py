"""Tool calls of the Responses API: in a conversation, and in an answer.

Where a request goes on with a conversation that the provider keeps (`previous_response_id`), they are not in it.
"""

from collections.abc import Iterator
from typing import Any

from gateway.dialects.responses import items
from gateway.dialects.tools import ToolCall, arguments_of, dicts, text_of

_CALLS = frozenset(
    {"apply_patch_call", "custom_tool_call", "function_call", "local_shell_call", "shell_call"}
)


def executed(given: Any) -> list[ToolCall]:
    """Those of the model's last turn that have an output: the last calls, up to the outputs before them."""
    results: set[str] = set()
    found: list[ToolCall] = []
    for item in reversed(list(dicts(given))):
        kind = items.kind(item)
        if kind.endswith("_output"):
            if found:
                break
            results.add(text_of(item.get("call_id")))
        elif kind in _CALLS:
            found.append(call_of(item))
        elif found and item.get("role") != "assistant" and kind != "reasoning":
            break
    return [call for call in reversed(found) if call.id in results]


def answered(response: dict[str, Any]) -> Iterator[ToolCall]:
    """Those in an answer in one piece."""
    yield from (call_of(item) for item in dicts(response.get("output")) if items.kind(item) in _CALLS)


def streamed(event: dict[str, Any]) -> Iterator[ToolCall]:
    """The one that an event of a stream completes. Agents begin at the first of the two that say so."""
    if event.get("type") == "response.function_call_arguments.done":
        arguments = arguments_of(event.get("arguments"))
        yield ToolCall(text_of(event.get("item_id")), text_of(event.get("name")), arguments)
    elif event.get("type") == "response.output_item.done":
        yield from answered({"output": [event.get("item")]})


def call_of(item: dict[str, Any]) -> ToolCall:
    """An item that stands for a call. Of those that the API itself defines, the tool is called like the item."""
    kind = items.kind(item)
    name = text_of(item.get("name")) or kind.removesuffix("_call")
    written = item.get("arguments") or item.get("input") or item.get("action") or item.get("operation")
    return ToolCall(text_of(item.get("call_id")), name, arguments_of(written))
