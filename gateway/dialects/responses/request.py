"""Reads a Responses request as far as money is concerned, and refuses what cannot be bounded.

The bound of the prompt is proved as in `messages.bounds`: no token is shorter than a byte.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from budgets.prices import Price
from gateway.dialects import encoding, openai, shapes
from gateway.dialects.base import USEFUL_OUTPUT_TOKENS, Meter, Request, Size, Turn
from gateway.dialects.prints import unmarked
from gateway.dialects.responses import items, tools
from gateway.dialects.responses.meter import StreamMeter, whole_meter
from gateway.dialects.tools import ToolCall
from gateway.errors import Refused

# Left out on purpose: `background` (the answer comes later, past us), `prompt` (a template that we cannot see, with
# tools of its own), `context_management` (a second run to compact), `moderation`, `access_programs`, `image`.
FIELDS = frozenset(
    {
        "conversation",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)
# What the prompt is made from beside the input.
_FRAME = ("model", "instructions", "parallel_tool_calls", "reasoning", "text", "tool_choice", "tools")
_BY_MODEL = frozenset(
    {
        "apply_patch_call",
        "computer_call",
        "custom_tool_call",
        "function_call",
        "local_shell_call",
        "reasoning",
        "shell_call",
        "tool_search_call",
    }
)


@dataclass(frozen=True)
class ResponsesRequest(Request):
    """A request to /v1/responses."""

    @cached_property
    def limit(self) -> tuple[str, int]:
        """The field that limits the answer, and its value."""
        return openai.output_limit(self.parsed, "max_output_tokens")

    @property
    def output_tokens(self) -> int:
        return self.limit[1]

    @property
    def minimum_output_tokens(self) -> int:
        return min(self.output_tokens, USEFUL_OUTPUT_TOKENS)

    @property
    def converses(self) -> bool:
        return True

    @property
    def cache_writes(self) -> str:
        """Written without being asked; since gpt-5.6 that costs something."""
        return "5m"

    @cached_property
    def lasting(self) -> bool:
        """Truncation drops more or less of the conversation next time."""
        return (
            not self._refers and self.parsed.get("truncation") != "auto" and all(map(items.lasts, self.turns))
        )

    @cached_property
    def turns(self) -> list[Turn]:
        return [unmarked(item, "prompt_cache_breakpoint") for item in self._input]

    @property
    def executed(self) -> list[ToolCall]:
        return tools.executed(self._input)

    @property
    def frame(self) -> dict[str, Any]:
        return {name: self.parsed.get(name) for name in _FRAME}

    def meter(self, *, streams: bool) -> Meter:
        return StreamMeter() if streams else whole_meter()

    @property
    def _input(self) -> list[Turn]:
        """A text is short for one message of the user."""
        given = self.parsed.get("input") or []
        return [{"role": "user", "content": given}] if isinstance(given, str) else given

    @property
    def _refers(self) -> bool:
        """Whether it goes on with a conversation that the provider keeps, so that only the window bounds the prompt."""
        return bool(self.parsed.get("previous_response_id") or self.parsed.get("conversation"))

    def _size(self, turns: list[Turn] | None, length: int) -> Size:
        if turns is not None:
            return items.size(turns, length, self.model)
        known = sum(
            tool.get("type") not in (None, "function", "custom") for tool in self.parsed.get("tools") or []
        )
        overhead = openai.OVERHEAD_TOKENS + openai.KNOWN_TOOL_TOKENS * known
        size = items.size(self._input, length + overhead, self.model)
        return Size(size.tokens, size.certain and not self._refers)

    def _window(self, price: Price) -> int | None:
        return openai.window(price)

    def _continues(self, turn: Turn) -> bool:
        return turn.get("role") == "assistant" or items.kind(turn) in _BY_MODEL

    def _changes(self, output_tokens: int, notice: str) -> dict[str, Any]:
        changes: dict[str, Any] = {self.limit[0]: output_tokens, **openai.tier(self.parsed)}
        if notice:
            changes["input"] = [*self._input, {"role": "user", "content": notice}]
        return changes


class Responses:
    """The dialect."""

    name = "responses"
    provider = "openai"

    def read(self, raw: bytes) -> ResponsesRequest:
        parsed, encoded = encoding.decode(raw)
        openai.check_common(parsed)
        openai.check_long_caching(encoded)
        shapes.refuse_fields(openai.harmless_tier(parsed), FIELDS, openai.SURCHARGES)
        reasoning = shapes.object_at("reasoning", parsed, "reasoning")
        if reasoning.get("mode") not in (None, "standard"):
            raise Refused(400, "reasoning.mode: only standard costs the list price.")
        _check_input(parsed.get("input"))
        openai.each_tool(parsed.get("tools"), items.check_tool)
        openai.output_limit(parsed, "max_output_tokens")
        return ResponsesRequest(self, raw, parsed, encoded)

    def error_body(self, refused: Refused, request_id: str) -> dict[str, object]:
        return openai.error_body(refused, request_id)


RESPONSES = Responses()


def _check_input(given: Any) -> None:
    shapes.expect("input", given, str, list)
    if isinstance(given, list):
        for name, item in shapes.objects("input", given):
            items.check(name, item)
