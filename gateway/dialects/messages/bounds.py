"""How many tokens a Messages request can come to, at most, before anybody has counted them.

The proof for text: a token stands for at least one byte of it, and JSON never writes a text shorter than it is.
So the body's bytes bound the prompt, plus what the provider adds of its own. Exceptions are listed here one by
one; what cannot be bounded by looking is bounded by the model's context window, which the provider enforces.
Thinking that comes back sealed is longer in its seal than in tokens, even if it was compressed before.
Should a bound fail all the same, the ledger records an overrun and raises an alarm (`budgets.ledger`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.dialects import encoding
from gateway.dialects.base import Size

# The provider's own instructions for tool use, and the frame of each message; 800 is the most documented.
OVERHEAD_TOKENS = 2048
# A definition that Anthropic keeps (bash, text editor, computer, memory); 735 is the most documented.
KNOWN_TOOL_TOKENS = 1024
# https://docs.claude.com/en/docs/build-with-claude/vision: images are scaled down to 4784 tokens at most.
IMAGE_TOKENS = 5000

_TOOLS = ("tool_reference", "tool_addition")
_SPECIAL_TYPES = frozenset({*_TOOLS, "container_upload"})
_SPECIAL_NAMES = (b'"source":', *(f'"{name}"'.encode() for name in _SPECIAL_TYPES))

Block = dict[str, Any]


def request_size(length: int, request: dict[str, Any], special: list[Block]) -> Size:
    """Of a whole request, `length` bytes long."""
    kinds = [str(tool.get("type") or "custom") for tool in tools(request)]
    size = turns_size(length, request, special)
    known = KNOWN_TOOL_TOKENS * sum(kind != "custom" for kind in kinds)
    # A set of tools is a definition of unknown length.
    return Size(
        size.tokens + OVERHEAD_TOKENS + known, size.certain and not any("toolset" in kind for kind in kinds)
    )


def turns_size(length: int, request: dict[str, Any], special: list[Block]) -> Size:
    """Of some turns of a request, `length` bytes long together, with these special blocks in them."""
    tokens, certain = length, True
    defined = _definitions(request) if any(block.get("type") in _TOOLS for block in special) else {}
    for block in special:
        kind = block.get("type")
        if kind in _TOOLS:
            tokens += _unfolded_tokens(block, defined)
            certain = certain and "toolset" not in str(inline_definition(block).get("type"))
        elif isinstance(source := block.get("source"), dict):
            extra, known = _source_tokens(block, source)
            tokens, certain = tokens + extra, certain and known
        elif kind == "container_upload":
            certain = False
    return Size(tokens, certain)


def lasting(special: list[Block]) -> bool:
    """Whether all content is in the request itself: what an address or an id stands for may change."""
    for block in special:
        source = block.get("source")
        if block.get("type") == "container_upload":
            return False
        if isinstance(source, dict) and source.get("type") not in ("base64", "text", "content"):
            return False
    return True


def special(encoded: bytes, turns: Any) -> list[Block]:
    """The blocks in `turns` that are not simply as long as they look; `encoded` has the turns in it.

    Most conversations have none, which a look at the bytes tells faster than a walk: quotes inside a text are escaped.
    """
    return special_in(turns) if any(name in encoded for name in _SPECIAL_NAMES) else []


def special_in(turns: Any) -> list[Block]:
    """The same, found by walking."""
    return [block for block in blocks(turns) if "source" in block or block.get("type") in _SPECIAL_TYPES]


def blocks(value: Any) -> Iterator[Block]:
    """The messages of a conversation and all blocks in them. They nest: a tool's result may hold images."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, list):
            waiting.extend(each for each in here if isinstance(each, (dict, list)))
        elif isinstance(here, dict):
            yield here
            inner = (here.get("content"), here.get("source"), here.get("tool_changes"))
            waiting.extend(each for each in inner if isinstance(each, (dict, list)))


def tools(request: dict[str, Any]) -> list[Block]:
    return [tool for tool in request.get("tools") or [] if isinstance(tool, dict)]


def inline_definition(block: Block) -> Block:
    """The tool that a `tool_addition` block defines by value, if it does."""
    tool = block.get("tool")
    definition = tool.get("definition") if isinstance(tool, dict) else None
    return definition if isinstance(definition, dict) else {}


def _source_tokens(block: Block, source: Block) -> tuple[int, bool]:
    """What a block adds to the bytes that were counted for it."""
    kind = source.get("type")
    if block.get("type") == "image":
        data = source.get("data")
        return IMAGE_TOKENS - (len(data) if kind == "base64" and isinstance(data, str) else 0), True
    # To be cited it is cut into numbered sentences, as many as the provider sees.
    return 0, kind in ("text", "content") and not block.get("citations")


def _definitions(request: dict[str, Any]) -> Mapping[str, int]:
    """How long the definitions are that go by a name. Made once: as many references may be there as definitions."""
    lengths: Counter[str] = Counter()
    for defined in [*tools(request), *map(inline_definition, blocks(request.get("messages")))]:
        if isinstance(name := defined.get("name"), str):
            lengths[name] += len(encoding.encode(defined))
    return lengths


def _unfolded_tokens(block: Block, defined: Mapping[str, int]) -> int:
    """A reference unfolds into the definition of the tool, once more for each reference."""
    if definition := inline_definition(block):
        return KNOWN_TOOL_TOKENS if definition.get("type") not in (None, "custom") else 0
    tool = block.get("tool")
    name = block.get("tool_name") or (tool.get("name") if isinstance(tool, dict) else None)
    return defined.get(name, 0) if isinstance(name, str) else 0
