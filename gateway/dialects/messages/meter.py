"""Reads usage figures and tool calls out of a Messages stream as it passes, without touching a byte of it."""

from typing import Any

from budgets.prices import Usage
from gateway.dialects.messages import tools
from gateway.dialects.tools import Assembly
from gateway.dialects.whole import WholeMeter, a_count, a_dict, an_object, is_count

_COUNTED = ("input_tokens", "output_tokens")


class StreamMeter:
    """For server-sent events: of texts, only the first and last event of each block are decoded.

    https://docs.claude.com/en/api/messages-streaming: `message_start` carries the prompt's figures, the last
    `message_delta` the cumulative ones of everything. A block ends with an event of its own.
    """

    _FIGURES = frozenset({b"message_start", b"message_delta"})
    _WANTED = _FIGURES | {b"content_block_start", b"content_block_stop"}
    _WANTED_OF_TOOLS = _WANTED | {b"content_block_delta"}

    def __init__(self) -> None:
        self.begun = self.final = False
        self.tools = Assembly()
        self._wanted = self._WANTED
        self._figures: dict[str, Any] = {}
        self._rest = b""
        self._event = b""

    def feed(self, chunk: bytes) -> bytes:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"event:"):
                self._event = line[6:].strip()
            elif self._event in self._wanted and line.startswith(b"data:"):
                self._read(an_object(line[5:]))
        return chunk

    def end(self) -> bytes:
        return b""

    def usage(self) -> Usage:
        return usage_of(self._figures)

    def _read(self, event: dict[str, Any]) -> None:
        if self._event in self._FIGURES:
            self._read_figures(event)
        else:
            tools.feed(self.tools, self._event, event)
            self._wanted = self._WANTED_OF_TOOLS if self.tools else self._WANTED

    def _read_figures(self, event: dict[str, Any]) -> None:
        start = self._event == b"message_start"
        figures = (a_dict(event.get("message")) if start else event).get("usage")
        if not isinstance(figures, dict):
            return
        for name, value in figures.items():
            if is_count(value) and is_count(known := self._figures.get(name)):
                self._figures[name] = max(
                    value, known
                )  # cumulative; but some proxies know the prompt at first only
            elif value is not None:
                self._figures[name] = value
        self.begun |= start and is_count(figures.get("input_tokens"))
        self.final |= a_dict(event.get("delta")).get("stop_reason") is not None and all(
            is_count(self._figures.get(name)) for name in _COUNTED
        )


def whole_meter() -> WholeMeter:
    return WholeMeter(_COUNTED, usage_of, tools.called)


def usage_of(figures: dict[str, Any]) -> Usage:
    """The API's `usage` object. Writes to the cache that it does not split by lifetime are five-minute ones."""
    hour = a_count(a_dict(figures.get("cache_creation")).get("ephemeral_1h_input_tokens"))
    return Usage(
        input_tokens=a_count(figures.get("input_tokens")),
        cache_read_tokens=a_count(figures.get("cache_read_input_tokens")),
        cache_write_tokens=max(a_count(figures.get("cache_creation_input_tokens")) - hour, 0),
        cache_write_1h_tokens=hour,
        output_tokens=a_count(figures.get("output_tokens")),
        web_searches=a_count(a_dict(figures.get("server_tool_use")).get("web_search_requests")),
    )
