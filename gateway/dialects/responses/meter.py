"""Reads usage figures and tool calls out of a Responses stream as it passes, without touching a byte of it."""

import re
from typing import Any

from budgets.prices import Usage
from gateway.dialects import openai
from gateway.dialects.responses import tools
from gateway.dialects.tools import Assembly
from gateway.dialects.whole import WholeMeter, a_dict, an_object, is_count

# The last event of a stream has the whole response in it. Whatever the server calls the event, it says so in the data.
_LAST = ("response.completed", "response.incomplete", "response.failed")
_DONE = ("response.output_item.done", "response.function_call_arguments.done")
_WANTED = re.compile(
    rb'"type"\s*:\s*"response\.(completed|incomplete|failed|output_item\.done|function_call_arguments\.done)"'
)

_COUNTED = ("input_tokens", "output_tokens")


class StreamMeter:
    """For server-sent events: only the last is decoded, and those that complete an item."""

    begun = False

    def __init__(self) -> None:
        self.final, self.tools = False, Assembly()
        self._figures: dict[str, Any] = {}
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:") and _WANTED.search(line):
                self._read(an_object(line[5:]))
        return chunk

    def end(self) -> bytes:
        return b""

    def usage(self) -> Usage:
        return openai.usage_of(self._figures)

    def _read(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if kind in _DONE:
            self.tools.complete(tools.streamed(event))
        if kind not in _LAST:
            return  # a text that says so
        figures = a_dict(event.get("response")).get("usage")
        if isinstance(figures, dict) and all(is_count(figures.get(name)) for name in _COUNTED):
            self._figures, self.final = figures, True


def whole_meter() -> WholeMeter:
    return WholeMeter(_COUNTED, openai.usage_of, tools.answered)
