"""What a Responses request may hold in its input: which items pass, and how large they can be at most."""

from collections.abc import Iterator
from typing import Any

from gateway.dialects import openai, shapes
from gateway.dialects.base import Size
from gateway.errors import Refused

Item = dict[str, Any]

# All of these is in the request. Sealed reasoning is longer in its seal than in tokens.
_SEEN = frozenset(
    {
        "additional_tools",
        "apply_patch_call",
        "apply_patch_call_output",
        "compaction",
        "computer_call",
        "computer_call_output",
        "configuration_update",
        "custom_tool_call",
        "custom_tool_call_output",
        "function_call",
        "function_call_output",
        "local_shell_call",
        "local_shell_call_output",
        "message",
        "reasoning",
        "shell_call",
        "shell_call_output",
        "tool_search_call",
        "tool_search_output",
    }
)
# These stand for something that the provider keeps.
_UNSEEN = frozenset(
    {
        "code_interpreter_call",
        "file_search_call",
        "image_generation_call",
        "item_reference",
        "mcp_call",
        "mcp_list_tools",
        "web_search_call",
    }
)
# Tools that the agent runs. Of all others the provider does, at a price per use and in rounds nobody can count.
CLIENT_TOOLS = frozenset(
    {
        "apply_patch",
        "computer",
        "computer_use_preview",
        "custom",
        "function",
        "local_shell",
        "shell",
        "tool_search",
    }
)
_IMAGES = ("input_image", "computer_screenshot")


def kind(item: Item) -> str:
    """An item without a type is a message, or, without a role, a reference.

    Source: openai-python, `response_input_item_param.py`.
    """
    return str(item.get("type") or ("message" if "role" in item else "item_reference"))


def check(name: shapes.Name, item: Item) -> None:
    """Raises `Refused` (400) for what makes the provider do more than answer, or is of a shape we cannot read."""
    if kind(item) not in _SEEN | _UNSEEN:
        raise Refused(
            400,
            f"{shapes.spelled(name)}: {kind(item)} is not passed on: nobody can tell what that would cost.",
        )
    shapes.expect((name, "role"), item.get("role"), str)
    openai.each_tool(item.get("tools"), check_tool)
    for part in parts(item):
        if part.get("type") == "input_audio":
            raise Refused(
                400, f"{shapes.spelled(name)}: speech is priced apart from text, so it is not passed on."
            )


def check_tool(name: shapes.Name, tool: Item) -> None:
    """Raises `Refused` (400) for a tool that the provider runs."""
    what = str(tool.get("type") or "function")
    by_agent = what in CLIENT_TOOLS
    if what == "shell":
        shapes.expect((name, "environment"), tool.get("environment"), dict)
        by_agent = (tool.get("environment") or {}).get("type") == "local"
    elif what == "tool_search":
        by_agent = tool.get("execution") == "client"
    if not by_agent:
        shapes.refuse_tool(what)


def size(items: list[Item], length: int, model: str) -> Size:
    """Of items that are `length` bytes long together."""
    tokens, certain = length, True
    for item in items:
        certain = certain and is_whole(item)
        for part in parts(item):
            if part.get("type") in _IMAGES:
                tokens += openai.image_tokens(model, part.get("image_url"))
            elif part.get("type") == "input_file":
                certain = False
    return Size(tokens, certain)


def is_whole(item: Item) -> bool:
    """Whether an item is all in the request. Reasoning without content is looked up by its id."""
    if kind(item) == "reasoning":
        return bool(item.get("encrypted_content") or item.get("content"))
    return kind(item) in _SEEN


def lasts(item: Item) -> bool:
    """Whether an item will be the same again: it names no file and no address."""
    addresses = [part.get("image_url") for part in parts(item) if part.get("type") in _IMAGES]
    named = any(part.get("file_id") or part.get("file_url") for part in parts(item))
    return is_whole(item) and not named and all(map(openai.is_inline, addresses))


def parts(item: Item) -> Iterator[Item]:
    """The parts of a message's content or of a tool's output."""
    for held in (item.get("content"), item.get("output")):
        for part in held if isinstance(held, list) else [held]:
            if isinstance(part, dict):
                yield part
