"""The types of what is read of a Messages request. https://docs.claude.com/en/api/messages"""

from typing import Any

from gateway.dialects.shapes import Name, expect, object_at, objects
from gateway.errors import Refused

NESTING_MAX = 16  # of content in content; the API documents three


def check(request: dict[str, Any]) -> None:
    """Raises `Refused` (400). Any field may be left out or null."""
    expect("stream", request.get("stream"), bool)
    _check_content("system", request.get("system"))
    for name, message in objects("messages", request.get("messages")):
        expect((name, "role"), message.get("role"), str)
        _check_content((name, "content"), message.get("content"))
    for name, tool in objects("tools", request.get("tools")):
        expect((name, "name"), tool.get("name"), str)
    expect("thinking.budget_tokens", object_at("thinking", request, "thinking").get("budget_tokens"), int)
    expect("output_config.format", object_at("output_config", request, "output_config").get("format"), dict)
    object_at("output_format", request, "output_format")
    management = object_at("context_management", request, "context_management")
    list(objects("context_management.edits", management.get("edits")))


def _check_content(name: Name, content: Any, depth: int = 0) -> None:
    """Content is a text, or blocks; a tool's result holds content again."""
    expect(name, content, str, list)
    if depth > NESTING_MAX:
        raise Refused(400, f"messages: content is nested deeper than {NESTING_MAX} levels.")
    for inner, block in objects(name, content) if isinstance(content, list) else ():
        expect((inner, "type"), block.get("type"), str)
        if block.get("type") == "tool_use":
            expect((inner, "id"), block.get("id"), str, required=True)
            expect((inner, "name"), block.get("name"), str, required=True)
        elif block.get("type") == "tool_result":
            expect((inner, "tool_use_id"), block.get("tool_use_id"), str)
            _check_content((inner, "content"), block.get("content"), depth + 1)
