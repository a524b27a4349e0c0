"""Reads the usage figures and tool calls of an answer in one piece."""

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from budgets.prices import Usage
from gateway.dialects.tools import Assembly, ToolCall

# Read at once, and meanwhile nobody else's answer moves. Longer ones, which ask for probabilities of every token, are
# charged at their bound.
READ_BYTES_MAX = 16 * 1024**2
# No answer has more; what is above is no figure.
COUNT_MAX = 10**12


class WholeMeter:
    """For any dialect: `counted` is what it calls the tokens of prompt and answer, `usage_of` reads its figures,
    `called` its tool calls.

    The last piece is kept back until all is read, so that the books are closed before the agent has its answer.
    """

    begun = False

    def __init__(
        self,
        counted: tuple[str, str],
        usage_of: Callable[[dict[str, Any]], Usage],
        called: Callable[[dict[str, Any]], Iterable[ToolCall]],
    ) -> None:
        self._counted, self._usage_of, self._called = counted, usage_of, called
        self.final, self.tools = False, Assembly()
        self._figures: dict[str, Any] = {}
        self._chunks: list[bytes] = []
        self._length = 0
        self._kept = b""

    def feed(self, chunk: bytes) -> bytes:
        self._length += len(chunk)
        if self._length <= READ_BYTES_MAX:
            self._chunks.append(chunk)
        else:
            self._chunks.clear()
        kept, self._kept = self._kept, chunk
        return kept

    def end(self) -> bytes:
        said = an_object(b"".join(self._chunks))
        self._figures = a_dict(said.get("usage"))
        self.tools.complete(self._called(said))
        self.final = all(is_count(self._figures.get(name)) for name in self._counted)
        kept, self._kept = self._kept, b""
        return kept

    def usage(self) -> Usage:
        return self._usage_of(self._figures)


def an_object(raw: bytes) -> dict[str, Any]:
    """A JSON object; empty for anything else."""
    try:
        return a_dict(orjson.loads(raw))
    except orjson.JSONDecodeError:
        return {}


def a_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def a_count(value: Any) -> int:
    return int(value) if is_count(value) else 0


def is_count(value: Any) -> bool:
    """A whole number, even if a proxy has written it as 12.0."""
    whole = type(value) is int or (type(value) is float and value.is_integer())
    return whole and 0 <= value <= COUNT_MAX
