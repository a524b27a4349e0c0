"""The types of what this room reads in a request, as documented: where they are others, it is refused by name.

What nobody here reads is left to the provider. https://docs.claude.com/en/api/messages
"""

from collections.abc import Iterator
from typing import Any

from gateway.errors import Refused

_NAMES = {
    bool: "true or false",
    dict: "an object",
    int: "a whole number",
    list: "a list",
    str: "a string",
}


def check(request: dict[str, Any]) -> None:
    """Raises `Refused` (400). Any field may be left out or null."""
    _expect("stream", request.get("stream"), bool)
    _check_content("system", request.get("system"))
    for name, message in _objects("messages", request.get("messages")):
        _expect(f"{name}.role", message.get("role"), str)
        _check_content(f"{name}.content", message.get("content"))
    for name, tool in _objects("tools", request.get("tools")):
        _expect(f"{name}.name", tool.get("name"), str)
    _expect("thinking.budget_tokens", _object("thinking", request).get("budget_tokens"), int)
    _expect("output_config.format", _object("output_config", request).get("format"), dict)
    _object("output_format", request)
    list(_objects("context_management.edits", _object("context_management", request).get("edits")))


def _check_content(name: str, content: Any) -> None:
    """Content is a text, or blocks; a tool's result holds content again."""
    _expect(name, content, str, list)
    for inner, block in _objects(name, content) if isinstance(content, list) else ():
        if block.get("type") == "tool_use":
            _expect(f"{inner}.id", block.get("id"), str, required=True)
            _expect(f"{inner}.name", block.get("name"), str, required=True)
        elif block.get("type") == "tool_result":
            _expect(f"{inner}.tool_use_id", block.get("tool_use_id"), str)
            _check_content(f"{inner}.content", block.get("content"))


def _objects(name: str, value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a list, each with what to call it."""
    _expect(name, value, list)
    for index, each in enumerate(value or []):
        _expect(f"{name}.{index}", each, dict, required=True)
        yield f"{name}.{index}", each


def _object(name: str, request: dict[str, Any]) -> dict[str, Any]:
    _expect(name, request.get(name), dict)
    return request.get(name) or {}


def _expect(name: str, value: Any, *kinds: type, required: bool = False) -> None:
    # Exactly: JSON knows no subclasses, and Python's True is a number.
    if type(value) in kinds or (value is None and not required):
        return
    raise Refused(400, f"{name}: {' or '.join(_NAMES[kind] for kind in kinds)} is required.")
