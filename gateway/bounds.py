"""How many tokens a request can come to, at most, before anybody has counted them.

The proof for text: a token stands for at least one byte of it, and JSON never writes a text shorter than it is.
So the body's bytes bound the prompt, plus what the provider adds of its own. Exceptions are listed here one by
one; what cannot be bounded by looking is bounded by the model's context window, which the provider enforces.
Should a bound fail all the same, the ledger records an overrun and raises an alarm (`budgets.ledger`).
"""

import json
from collections.abc import Iterator
from typing import Any

# The provider's own instructions for tool use, and the frame of each message; 800 is the most documented.
OVERHEAD_TOKENS = 2048
# A definition that Anthropic keeps (bash, text editor, computer, memory); 735 is the most documented.
KNOWN_TOOL_TOKENS = 1024
# https://docs.claude.com/en/docs/build-with-claude/vision: images are scaled down to 4784 tokens at most.
IMAGE_TOKENS = 5000

Block = dict[str, Any]


def prompt_tokens(body_bytes: int, request: dict[str, Any]) -> tuple[int, bool]:
    """An upper bound, and whether it holds: False when a part's size cannot be told from here."""
    tokens, certain = body_bytes + OVERHEAD_TOKENS, True
    tools = [tool for tool in request.get("tools") or [] if isinstance(tool, dict)]
    tokens += KNOWN_TOOL_TOKENS * sum(tool.get("type") not in (None, "custom") for tool in tools)
    for block in _blocks(request):
        if block.get("type") == "tool_reference":
            tokens += _definition_bytes(block.get("tool_name"), tools)
        elif isinstance(source := block.get("source"), dict):
            extra, known = _source_tokens(block, source)
            tokens, certain = tokens + extra, certain and known
        elif block.get("type") == "container_upload":
            certain = False
    return tokens, certain


def _blocks(value: Any) -> Iterator[Block]:
    """The content blocks of a conversation. They nest: a tool's result or a document may hold images."""
    if isinstance(value, list):
        for each in value:
            yield from _blocks(each)
    elif isinstance(value, dict):
        yield value
        for name in ("messages", "system", "content", "source"):
            yield from _blocks(value.get(name))


def _source_tokens(block: Block, source: Block) -> tuple[int, bool]:
    """What a block adds to the bytes that were counted for it."""
    kind = source.get("type")
    if block.get("type") == "image":
        data = source.get("data")
        return IMAGE_TOKENS - (len(data) if kind == "base64" and isinstance(data, str) else 0), True
    return 0, kind in ("text", "content")


def _definition_bytes(name: Any, tools: list[Block]) -> int:
    """A reference unfolds into the definition of the tool, once more for each reference."""
    return sum(len(json.dumps(tool)) for tool in tools if tool.get("name") == name)
