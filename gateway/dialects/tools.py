"""Tool calls as models make them in all three APIs: put together from the pieces of a stream, of a bounded size."""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

# What is longer is cut off; nobody reads more of it.
ARGUMENTS_CHARACTERS_MAX = 64 * 1024
# No model makes more at a time.
OPEN_MAX = 128
# How often arguments are looked at for being whole, where nothing marks their end.
LOOKS_MAX = 100


class ToolCall(NamedTuple):
    """A tool that the model wants used. `arguments`: an object, or what it wrote when that is no JSON object."""

    id: str
    name: str
    arguments: dict[str, Any] | str
    failed: bool = False  # its result says so


@dataclass(slots=True)
class _Open:
    id: str
    name: str
    pieces: list[str] = field(default_factory=list)
    length: int = 0
    looks: int = 0
    told: int = 0  # characters that it had when it was said to be complete

    def add(self, piece: str) -> None:
        if self.length < ARGUMENTS_CHARACTERS_MAX:
            self.pieces.append(piece)
            self.length += len(piece)

    def call(self) -> ToolCall:
        return ToolCall(self.id, self.name, arguments_of("".join(self.pieces)))


class Assembly:
    """Tool calls of one answer: `begin`, `add` and `end` as it streams, `take` for those that are complete."""

    def __init__(self) -> None:
        self._open: dict[Hashable, _Open] = {}
        self._complete: list[ToolCall] = []

    def __contains__(self, key: Hashable) -> bool:
        return key in self._open

    def __bool__(self) -> bool:
        return bool(self._open)

    def begin(self, key: Hashable, call_id: Any, name: Any) -> None:
        if len(self._open) < OPEN_MAX:
            self._open[key] = _Open(text_of(call_id), text_of(name))

    def add(self, key: Hashable, piece: Any) -> None:
        if (found := self._open.get(key)) and isinstance(piece, str):
            found.add(piece)

    def end(self, key: Hashable) -> None:
        if (found := self._open.pop(key, None)) and found.told != (found.length or -1):
            self._complete.append(found.call())

    def end_all(self) -> None:
        for key in list(self._open):
            self.end(key)

    def look(self, key: Hashable) -> None:
        """Whether its arguments are whole: some agents begin as soon as they are, without waiting for an end."""
        found = self._open.get(key)
        if not found or not found.pieces or found.looks >= LOOKS_MAX:
            return
        if found.pieces[-1].rstrip().endswith("}"):
            found.looks += 1
            if isinstance((call := found.call()).arguments, dict):
                found.told = found.length
                self._complete.append(call)

    def complete(self, calls: Iterable[ToolCall]) -> None:
        """They came in one piece."""
        self._complete += calls

    def take(self) -> list[ToolCall]:
        """Those that have become complete since this was asked last."""
        complete, self._complete = self._complete, []
        return complete


def arguments_of(written: Any) -> dict[str, Any] | str:
    """What a model wrote as arguments, read if it is an object."""
    if isinstance(written, dict):
        return written
    if not isinstance(written, str):
        return ""
    try:
        found = orjson.loads(written)
    except orjson.JSONDecodeError:
        return written
    return found if isinstance(found, dict) else written


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def dicts(values: Any) -> Iterator[dict[str, Any]]:
    """The objects of a list, whatever else is in it; nothing of anything else."""
    for value in values if isinstance(values, list) else ():
        if isinstance(value, dict):
            yield value
