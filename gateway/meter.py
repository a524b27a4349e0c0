"""Reads the provider's usage figures out of an answer as it passes, without touching a byte of it."""

import json
from typing import Any, Protocol

from budgets.prices import Usage


class Meter(Protocol):
    """`final`: the figures are the provider's last word. `begun`: the prompt's are known, the answer's are not."""

    @property
    def begun(self) -> bool: ...
    @property
    def final(self) -> bool: ...
    def feed(self, chunk: bytes) -> None: ...
    def usage(self) -> Usage: ...


class StreamMeter:
    """For server-sent events: only `message_start` and `message_delta` are decoded.

    https://docs.claude.com/en/api/messages-streaming: the first carries the prompt's figures, the last delta the
    cumulative ones of everything.
    """

    _WANTED = (b"message_start", b"message_delta")

    def __init__(self) -> None:
        self.begun = self.final = False
        self._figures: dict[str, Any] = {}
        self._rest = b""
        self._event = b""

    def feed(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"event:"):
                self._event = line[6:].strip()
            elif self._event in self._WANTED and line.startswith(b"data:"):
                self._read(_object(line[5:]))

    def usage(self) -> Usage:
        return usage_of(self._figures)

    def _read(self, event: dict[str, Any]) -> None:
        start = self._event == b"message_start"
        figures = (_dict(event.get("message")) if start else event).get("usage")
        if not isinstance(figures, dict):
            return
        self._figures.update((name, value) for name, value in figures.items() if value is not None)
        self.begun |= start
        self.final |= not start and _dict(event.get("delta")).get("stop_reason") is not None


class WholeMeter:
    """For an answer in one piece."""

    begun = False

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    @property
    def final(self) -> bool:
        return isinstance(self._figures().get("output_tokens"), int)

    def usage(self) -> Usage:
        return usage_of(self._figures())

    def _figures(self) -> dict[str, Any]:
        return _dict(_object(b"".join(self._chunks)).get("usage"))


def usage_of(figures: dict[str, Any]) -> Usage:
    """The API's `usage` object. Writes to the cache that it does not split by lifetime are five-minute ones."""
    hour = _count(_dict(figures.get("cache_creation")).get("ephemeral_1h_input_tokens"))
    return Usage(
        input_tokens=_count(figures.get("input_tokens")),
        cache_read_tokens=_count(figures.get("cache_read_input_tokens")),
        cache_write_tokens=max(_count(figures.get("cache_creation_input_tokens")) - hour, 0),
        cache_write_1h_tokens=hour,
        output_tokens=_count(figures.get("output_tokens")),
        web_searches=_count(_dict(figures.get("server_tool_use")).get("web_search_requests")),
    )


def _object(raw: bytes) -> dict[str, Any]:
    try:
        return _dict(json.loads(raw))
    except ValueError:
        return {}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
