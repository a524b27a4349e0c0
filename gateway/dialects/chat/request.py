"""Reads a Chat Completions request as far as money is concerned, and refuses what cannot be bounded.

The bound of the prompt is proved as in `messages.bounds`: no token is shorter than a byte.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from budgets.prices import Price
from gateway.dialects import encoding, openai, shapes
from gateway.dialects.base import USEFUL_OUTPUT_TOKENS, Meter, Request, Size, Turn
from gateway.dialects.chat import tools
from gateway.dialects.chat.meter import StreamMeter, whole_meter
from gateway.dialects.prints import unmarked
from gateway.dialects.tools import ToolCall
from gateway.errors import Refused

# Left out on purpose: `audio` and `modalities` (speech has prices of its own), `prediction` (what is rejected of it
# is charged beside the answer), `web_search_options` (a price per search), `moderation`.
FIELDS = frozenset(
    {
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
    }
)
CHOICES_MAX = 128
_LIMITS = ("max_completion_tokens", "max_tokens")
_PARTS = ("text", "refusal", "image_url", "file")
# What the prompt is made from beside the messages.
_FRAME = (
    "model",
    "function_call",
    "functions",
    "parallel_tool_calls",
    "reasoning_effort",
    "response_format",
    "tool_choice",
    "tools",
    "verbosity",
)


@dataclass(frozen=True)
class ChatRequest(Request):
    """A request to /v1/chat/completions."""

    @property
    def choices(self) -> int:
        """How many answers are asked for; every one is charged, and limited by itself."""
        return int(self.parsed.get("n") or 1)

    @cached_property
    def limit(self) -> tuple[str, int]:
        """The field that limits each answer, and its value."""
        return openai.output_limit(self.parsed, *_LIMITS)

    @property
    def output_tokens(self) -> int:
        return self.limit[1] * self.choices

    @property
    def minimum_output_tokens(self) -> int:
        return min(self.limit[1], USEFUL_OUTPUT_TOKENS) * self.choices

    @property
    def converses(self) -> bool:
        return self.limit[1] > 1

    @property
    def cache_writes(self) -> str:
        """Written without being asked; since gpt-5.6 that costs something."""
        return "5m"

    @cached_property
    def lasting(self) -> bool:
        files = [part.get("file") for part in self._parts(self.turns) if part.get("type") == "file"]
        images = [_address(part) for part in self._parts(self.turns) if part.get("type") == "image_url"]
        return all(map(openai.is_inline, images)) and not any("file_id" in (file or {}) for file in files)

    @cached_property
    def turns(self) -> list[Turn]:
        return [unmarked(message, "prompt_cache_breakpoint") for message in self.parsed.get("messages") or []]

    @property
    def executed(self) -> list[ToolCall]:
        return tools.executed(self.parsed.get("messages"))

    @property
    def frame(self) -> dict[str, Any]:
        return {name: self.parsed.get(name) for name in _FRAME}

    def meter(self, *, streams: bool) -> Meter:
        asked = (self.parsed.get("stream_options") or {}).get("include_usage") is True
        return StreamMeter(hides_usage=not asked) if streams else whole_meter()

    def _size(self, turns: list[Turn] | None, length: int) -> Size:
        tokens, certain = length + (openai.OVERHEAD_TOKENS if turns is None else 0), True
        for part in self._parts(self.turns if turns is None else turns):
            if part.get("type") == "image_url":
                tokens += openai.image_tokens(self.model, _address(part))
            elif part.get("type") == "file":
                certain = False
        return Size(tokens, certain)

    def _parts(self, turns: list[Turn]) -> Iterator[dict[str, Any]]:
        for turn in turns:
            if isinstance(content := turn.get("content"), list):
                yield from content

    def _window(self, price: Price) -> int | None:
        return openai.window(price)

    def _continues(self, turn: Turn) -> bool:
        return turn.get("role") == "assistant"

    def _changes(self, output_tokens: int, notice: str) -> dict[str, Any]:
        changes: dict[str, Any] = {self.limit[0]: output_tokens // self.choices, **openai.tier(self.parsed)}
        if self.stream:
            changes["stream_options"] = {**(self.parsed.get("stream_options") or {}), "include_usage": True}
        if notice:
            changes["messages"] = [*(self.parsed.get("messages") or []), {"role": "user", "content": notice}]
        return changes


class Chat:
    """The dialect."""

    name = "chat"
    provider = "openai"

    def read(self, raw: bytes) -> ChatRequest:
        parsed, encoded = encoding.decode(raw)
        openai.check_common(parsed)
        openai.check_long_caching(encoded)
        surcharges = {**openai.SURCHARGES, "modalities": ["text"]}
        shapes.refuse_fields(openai.harmless_tier(parsed), FIELDS, surcharges)
        if parsed.get("n") is not None:
            shapes.count("n", parsed["n"], CHOICES_MAX)
        _check_messages(parsed.get("messages"))
        openai.each_tool(parsed.get("tools"), _check_tool)
        openai.output_limit(parsed, *_LIMITS)
        return ChatRequest(self, raw, parsed, encoded)

    def error_body(self, refused: Refused, request_id: str) -> dict[str, object]:
        return openai.error_body(refused, request_id)


CHAT = Chat()


def _check_messages(messages: Any) -> None:
    for name, message in shapes.objects("messages", messages):
        shapes.expect((name, "role"), message.get("role"), str)
        shapes.expect((name, "content"), message.get("content"), str, list)
        if message.get("audio") is not None:
            raise Refused(
                400,
                f"{shapes.spelled(name)}.audio: speech is priced apart from text, so it is not passed on.",
            )
        for inner, part in shapes.objects((name, "content"), _list(message.get("content"))):
            _check_part(inner, part)


def _check_part(name: shapes.Name, part: dict[str, Any]) -> None:
    if part.get("type") not in _PARTS:
        raise Refused(
            400,
            f"{shapes.spelled(name)}: the gateway passes on {', '.join(_PARTS)}; "
            f"what {part.get('type')} would cost, it cannot tell.",
        )
    shapes.expect((name, "image_url"), part.get("image_url"), str, dict)
    shapes.expect((name, "file"), part.get("file"), dict)


def _check_tool(name: shapes.Name, tool: dict[str, Any]) -> None:
    if (kind := str(tool.get("type") or "function")) not in ("function", "custom"):
        shapes.refuse_tool(kind)


def _address(part: dict[str, Any]) -> Any:
    image = part.get("image_url")
    return image.get("url") if isinstance(image, dict) else image


def _list(content: Any) -> Any:
    return content if isinstance(content, list) else None
