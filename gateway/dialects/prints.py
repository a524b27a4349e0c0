"""Fingerprints of a conversation, turn by turn, by which a later request is known to begin like an earlier one."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from gateway.dialects import encoding


@dataclass(frozen=True, slots=True)
class Prints:
    """`chain[n]` stands for the frame and the first n turns; `lengths[n]` is turn n's, in bytes of JSON."""

    chain: tuple[bytes, ...]
    lengths: tuple[int, ...]


def prints_of(frame: dict[str, Any], turns: list[dict[str, Any]]) -> Prints:
    """Every byte is hashed once: a millisecond or two for a megabyte."""
    chain = [sha256(encoding.encode(frame)).digest()]
    lengths = []
    for turn in turns:
        written = encoding.encode(turn)
        chain.append(sha256(chain[-1] + written).digest())
        lengths.append(len(written))
    return Prints(tuple(chain), tuple(lengths))


def unmarked(turn: dict[str, Any], mark: str) -> dict[str, Any]:
    """A turn without cache marks on its blocks. They move from request to request, and are no part of the prompt.

    Only where the API takes them for marks: in a tool's arguments the same word is content.
    """
    content = turn.get("content")
    if not isinstance(content, list):
        return turn
    for block in content:
        if isinstance(block, dict) and (mark in block or block.get("type") == "tool_result"):
            return {**turn, "content": [_unmarked_block(each, mark) for each in content]}
    return turn


def _unmarked_block(block: Any, mark: str) -> Any:
    if not isinstance(block, dict):
        return block
    plain = {name: value for name, value in block.items() if name != mark} if mark in block else block
    if plain.get("type") == "tool_result" and isinstance(plain.get("content"), list):
        return unmarked(plain, mark)
    return plain
