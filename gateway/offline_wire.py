"""How the offline model writes its answers, in whichever API."""

import json
from collections.abc import Iterator
from typing import Any

_PIECE_CHARACTERS = 48


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def as_bytes(text: str) -> bytes:
    """JSON may hold halves of surrogate pairs, which UTF-8 does not; clients that cut a text make them."""
    return text.encode(errors="replace")


def event(name: str, **data: Any) -> bytes:
    """A server-sent event, named in its data, too."""
    return as_bytes(f"event: {name}\ndata: {compact({'type': name, **data})}\n\n")


def pieces(text: str) -> Iterator[str]:
    """A text as a stream brings it."""
    for at in range(0, len(text), _PIECE_CHARACTERS):
        yield text[at : at + _PIECE_CHARACTERS]


def texts(content: Any) -> str:
    """The text of a content that is a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text") or "") for part in content or [] if isinstance(part, dict))
