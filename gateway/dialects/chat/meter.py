"""Reads usage figures and tool calls out of a Chat Completions stream; takes out of it what only we had asked for."""

from typing import Any

from budgets.prices import Usage
from gateway.dialects import openai
from gateway.dialects.chat import tools
from gateway.dialects.tools import Assembly
from gateway.dialects.whole import WholeMeter, a_dict, an_object, is_count

_COUNTED = ("prompt_tokens", "completion_tokens")


class StreamMeter:
    """For server-sent events. Nothing but the event with the usage figures is taken out, and only if `hides_usage`.

    The event that ends the answer is kept back until the next has come: that one has the figures, so the books are
    closed before the agent can know that the answer is complete.
    """

    def __init__(self, *, hides_usage: bool) -> None:
        self.begun = self.final = False
        self.tools = Assembly()
        self._hides = hides_usage
        self._figures: dict[str, Any] = {}
        self._rest = b""
        self._event: list[bytes] = []
        self._kept = b""

    def feed(self, chunk: bytes) -> bytes:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        passed = []
        for line in lines:
            self._event.append(line + b"\n")
            if not line.strip():
                event, self._event = self._event, []
                passed.append(self._pass(event))
        return b"".join(passed)

    def end(self) -> bytes:
        """Not every server says `[DONE]`."""
        self.final |= self.begun
        return self._release(b"".join(self._event) + self._rest)

    def usage(self) -> Usage:
        return openai.usage_of(self._figures)

    def _pass(self, event: list[bytes]) -> bytes:
        raw, data = b"".join(event), b"".join(line[5:].strip() for line in event if line.startswith(b"data:"))
        if data == b"[DONE]":
            self.final |= self.begun
            return self._release(raw)
        said = an_object(data)
        choices = said.get("choices")
        if self.tools or b'"tool_calls"' in data:
            tools.feed(self.tools, choices)
        alone = choices == []
        if isinstance(figures := said.get("usage"), dict):
            self._figures, self.begun = figures, all(is_count(figures.get(name)) for name in _COUNTED)
            self.final |= alone and self.begun
            if alone and self._hides:
                return self._release(b"")
        if _finishes(choices):
            released, self._kept = self._release(b""), raw
            return released
        return self._release(raw)

    def _release(self, raw: bytes) -> bytes:
        kept, self._kept = self._kept, b""
        return kept + raw


def whole_meter() -> WholeMeter:
    return WholeMeter(_COUNTED, openai.usage_of, tools.answered)


def _finishes(choices: Any) -> bool:
    return isinstance(choices, list) and any(a_dict(each).get("finish_reason") for each in choices)
