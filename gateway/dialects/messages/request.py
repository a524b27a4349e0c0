"""Reads a Messages API request as far as money is concerned, and refuses what cannot be bounded.

Everything else passes untouched: agents use beta features that this file has never heard of, as long as those
cost tokens and nothing but tokens.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from budgets.prices import Price
from gateway.dialects import encoding, shapes
from gateway.dialects.base import OUTPUT_TOKENS_MAX, USEFUL_OUTPUT_TOKENS, Meter, Request, Size, Turn
from gateway.dialects.messages import bounds, tools
from gateway.dialects.messages import shapes as message_shapes
from gateway.dialects.messages.meter import StreamMeter, whole_meter
from gateway.dialects.prints import unmarked
from gateway.dialects.tools import ToolCall
from gateway.errors import Refused
from gateway.http import RawHeaders

# Left out on purpose: `mcp_servers` and `container` (the provider runs tools and bills every round), `fallbacks`
# (another model), `thread` (the conversation is not in the request), `compaction` (billed beside the usage).
FIELDS = frozenset(
    {
        "cache_control",
        "context_management",
        "diagnostics",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "output_format",
        "service_tier",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
# Dearer ways to run the same model; the value is the one that costs the list price.
SURCHARGES = {"speed": "standard", "inference_geo": "global"}
# Tools that the agent runs. Of all others the provider does, at a price per use and in rounds nobody can count.
CLIENT_TOOLS = re.compile(r"custom|(bash|text_editor|computer|memory)(_toolset)?_\d+")
LARGE_WINDOW_TOKENS = 1_000_000
_BETA, _LARGE_WINDOW = b"anthropic-beta", "context-1m"
# These do not make the prompt longer or shorter.
_ASIDE = frozenset(
    {
        "cache_control",
        "diagnostics",
        "max_tokens",
        "messages",
        "metadata",
        "service_tier",
        "stop_sequences",
        "stream",
        "temperature",
        "top_k",
        "top_p",
    }
)
# https://docs.claude.com/en/api/errors
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}

# https://docs.claude.com/en/docs/build-with-claude/extended-thinking: the least that the API takes.
THINKING_TOKENS_MIN = 1024


@dataclass(frozen=True)
class MessagesRequest(Request):
    """A request to /v1/messages."""

    @property
    def output_tokens(self) -> int:
        return int(self.parsed["max_tokens"])

    @cached_property
    def minimum_output_tokens(self) -> int:
        """Thinking has to fit into the answer; it is cut with it, but not below what the API takes."""
        thinking = min(self._thinking_tokens, THINKING_TOKENS_MIN)
        return min(self.output_tokens, thinking + USEFUL_OUTPUT_TOKENS)

    @property
    def _thinking_tokens(self) -> int:
        return int((self.parsed.get("thinking") or {}).get("budget_tokens") or 0)

    @property
    def converses(self) -> bool:
        aside = "format" in (self.parsed.get("output_config") or {}) and not self.parsed.get("tools")
        return not aside and self.output_tokens > 1

    @cached_property
    def cache_writes(self) -> str:
        """Nothing is written without a mark. What looks like one in a tool's arguments counts, too: that is dearer."""
        if b'"cache_control":{' not in self.encoded:
            return ""
        return "1h" if b'"ttl":"1h"' in self.encoded else "5m"

    @cached_property
    def lasting(self) -> bool:
        """Edits that clear part of the prompt clear more or less of it next time."""
        edits = (self.parsed.get("context_management") or {}).get("edits") or []
        return all(edit.get("keep") == "all" for edit in edits) and bounds.lasting(self.special)

    @cached_property
    def turns(self) -> list[Turn]:
        return [
            unmarked(_as_blocks(message), "cache_control") for message in self.parsed.get("messages") or []
        ]

    @property
    def executed(self) -> list[ToolCall]:
        return tools.executed(self.parsed.get("messages"))

    @property
    def frame(self) -> dict[str, Any]:
        kept = {name: value for name, value in self.parsed.items() if name not in _ASIDE}
        kept["system"] = unmarked({"content": self.parsed.get("system")}, "cache_control")
        kept["tools"] = unmarked({"content": self.parsed.get("tools")}, "cache_control")
        return {**kept, "betas": self._betas}

    @property
    def _betas(self) -> str:
        return self.dialect.betas if isinstance(self.dialect, Messages) else ""

    def meter(self, *, streams: bool) -> Meter:
        return StreamMeter() if streams else whole_meter()

    @cached_property
    def special(self) -> list[bounds.Block]:
        """Blocks that are not simply as long as they look."""
        return bounds.special(self.encoded, [self.parsed.get("system"), self.parsed.get("messages")])

    def _size(self, turns: list[Turn] | None, length: int) -> Size:
        if turns is None:
            return bounds.request_size(length, self.parsed, self.special)
        return bounds.turns_size(length, self.parsed, bounds.special_in(turns) if self.special else [])

    def _window(self, price: Price) -> int | None:
        """A beta makes some models' larger. https://docs.claude.com/en/docs/build-with-claude/context-windows"""
        if price.context_window and _LARGE_WINDOW in self._betas.lower() and _prices_large_window(price):
            return max(price.context_window, LARGE_WINDOW_TOKENS)
        return price.context_window

    def headers(self, came: RawHeaders, price: Price) -> RawHeaders:
        """Prompts of more than 200,000 tokens cost double. Where the list does not know that, none may be so long."""
        if _LARGE_WINDOW not in self._betas.lower() or _prices_large_window(price):
            return came
        kept = [beta for beta in self._betas.split(",") if _LARGE_WINDOW not in beta.lower()]
        others = [(name, value) for name, value in came if name.lower() != _BETA]
        return [*others, *([(_BETA, ",".join(kept).encode("latin-1"))] if kept else [])]

    def _continues(self, turn: Turn) -> bool:
        return turn.get("role") == "assistant"

    def _changes(self, output_tokens: int, notice: str) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        if output_tokens != self.output_tokens:
            changes["max_tokens"] = output_tokens
            if self._thinking_tokens > output_tokens - USEFUL_OUTPUT_TOKENS:
                cut = max(output_tokens - USEFUL_OUTPUT_TOKENS, THINKING_TOKENS_MIN)
                changes["thinking"] = {**self.parsed["thinking"], "budget_tokens": cut}
        if notice:
            changes["messages"] = _with_notice(self.parsed.get("messages") or [], notice)
        return changes


@dataclass(frozen=True, slots=True)
class Messages:
    """The dialect. `betas`: the features that the headers ask for; some make another prompt of the same body."""

    betas: str = ""

    @property
    def name(self) -> str:
        return "messages"

    @property
    def provider(self) -> str:
        return "anthropic"

    def read(self, raw: bytes) -> MessagesRequest:
        parsed, encoded = encoding.decode(raw)
        shapes.model(parsed)
        shapes.count("max_tokens", parsed.get("max_tokens"), OUTPUT_TOKENS_MAX)
        shapes.refuse_fields(parsed, FIELDS, SURCHARGES)
        message_shapes.check(parsed)
        _refuse_edits((parsed.get("context_management") or {}).get("edits") or [])
        request = MessagesRequest(self, raw, parsed, encoded)
        _refuse_tools(parsed, request.special)
        return request

    def error_body(self, refused: Refused, request_id: str) -> dict[str, object]:
        """Claude Code gives up at once on 402, prints the sentence of a 400, and tries again after 429, 529 and 5xx."""
        error = {"type": _ERROR_TYPES.get(refused.status, "api_error"), "message": str(refused)}
        return {"type": "error", "error": error, "request_id": request_id}


MESSAGES = Messages()


def _as_blocks(message: Turn) -> Turn:
    """A text is short for a list of one block."""
    content = message.get("content")
    return (
        {**message, "content": [{"type": "text", "text": content}]} if isinstance(content, str) else message
    )


def _prices_large_window(price: Price) -> bool:
    """Whether long prompts have a price of their own, or are nothing special with this model."""
    return len(price.tiers) > 1 or (price.context_window or 0) >= LARGE_WINDOW_TOKENS


def _with_notice(messages: list[Turn], notice: str) -> list[Turn]:
    """At the end of the last thing the user said: after the results of tools, which must come first."""
    block = {"type": "text", "text": notice}
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].get("role") == "user":
            said = _as_blocks(messages[index])
            told = {**said, "content": [*(said.get("content") or []), block]}
            return [*messages[:index], told, *messages[index + 1 :]]
    return [*messages, {"role": "user", "content": [block]}]


def _refuse_tools(parsed: dict[str, Any], special: list[bounds.Block]) -> None:
    """A conversation can define tools, too. Source: anthropic-sdk-python, `beta_request_tool_addition_block_param`."""
    added = [bounds.inline_definition(block) for block in special]
    for tool in [*bounds.tools(parsed), *filter(None, added)]:
        kind = str(tool.get("type") or "custom")
        if not CLIENT_TOOLS.fullmatch(kind):
            shapes.refuse_tool(kind)


def _refuse_edits(edits: list[dict[str, Any]]) -> None:
    for edit in edits:
        kind = str(edit.get("type"))
        if not kind.startswith("clear_"):
            raise Refused(
                400,
                f"context_management: {kind} makes the provider run the model a second time, "
                "which no hold covers. Let the agent compact its conversation itself.",
            )
