"""Reads the usage figures of an answer in one piece."""

from collections.abc import Callable
from typing import Any

import orjson

from budgets.prices import Usage


class WholeMeter:
    """For any dialect: `written` is what it calls the tokens of the answer, `usage_of` reads its figures."""

    begun = False

    def __init__(self, written: str, usage_of: Callable[[dict[str, Any]], Usage]) -> None:
        self._written, self._usage_of = written, usage_of
        self._chunks: list[bytes] = []

    def feed(self, chunk: bytes) -> bytes:
        self._chunks.append(chunk)
        return chunk

    def end(self) -> bytes:
        return b""

    @property
    def final(self) -> bool:
        return isinstance(self._figures().get(self._written), int)

    def usage(self) -> Usage:
        return self._usage_of(self._figures())

    def _figures(self) -> dict[str, Any]:
        return a_dict(an_object(b"".join(self._chunks)).get("usage"))


def an_object(raw: bytes) -> dict[str, Any]:
    """A JSON object; empty for anything else."""
    try:
        return a_dict(orjson.loads(raw))
    except orjson.JSONDecodeError:
        return {}


def a_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def a_count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
