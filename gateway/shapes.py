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
    _expect(request, "stream", bool)
    _check_content(request, "system", "")
    for message, where in _objects(request, "messages"):
        _expect(message, "role", str, where=where)
        _check_content(message, "content", where)
    for tool, where in _objects(request, "tools"):
        _expect(tool, "name", str, where=where)
    _expect(_object(request, "thinking"), "budget_tokens", int, where="thinking.")
    _object(_object(request, "output_config"), "format", where="output_config.")
    _object(request, "output_format")
    list(_objects(_object(request, "context_management"), "edits", where="context_management."))


def _check_content(holder: dict[str, Any], name: str, where: str) -> None:
    """Content is a text, or blocks; a tool's result holds content again."""
    _expect(holder, name, str, list, where=where)
    if not isinstance(holder.get(name), list):
        return
    for block, inside in _objects(holder, name, where=where):
        if block.get("type") == "tool_use":
            _expect(block, "id", str, where=inside, required=True)
            _expect(block, "name", str, where=inside, required=True)
        elif block.get("type") == "tool_result":
            _expect(block, "tool_use_id", str, where=inside)
            _check_content(block, "content", inside)


def _objects(holder: dict[str, Any], name: str, *, where: str = "") -> Iterator[tuple[dict[str, Any], str]]:
    """The objects of a list, each with what to call it."""
    _expect(holder, name, list, where=where)
    for index, each in enumerate(holder.get(name) or []):
        _expect({str(index): each}, str(index), dict, where=f"{where}{name}.", required=True)
        yield each, f"{where}{name}.{index}."


def _object(holder: dict[str, Any], name: str, *, where: str = "") -> dict[str, Any]:
    _expect(holder, name, dict, where=where)
    return holder.get(name) or {}


def _expect(holder: dict[str, Any], name: str, *kinds: type, where: str = "", required: bool = False) -> None:
    value = holder.get(name)
    # Exactly: JSON knows no subclasses, and Python's True is a number.
    if type(value) in kinds or (value is None and not required):
        return
    wanted = " or ".join(_NAMES[kind] for kind in kinds)
    raise Refused(400, f"{where}{name}: {wanted} is required.")
