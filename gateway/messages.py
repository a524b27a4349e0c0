"""Reads a Messages API request as far as money is concerned, and refuses what cannot be bounded.

Everything else passes untouched: agents use beta features that this file has never heard of, as long as those
cost tokens and nothing but tokens.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from budgets.prices import Price
from gateway import bounds, shapes
from gateway.errors import Refused

# An answer cut shorter than this is of no use to an agent; better to say that the money is gone.
USEFUL_OUTPUT_TOKENS = 1024
OUTPUT_TOKENS_MAX = 256_000

# The API refuses fields it does not know, and so do we: a new one may be a new way to spend. Left out on purpose:
# `mcp_servers` and `container` (the provider runs tools and bills every round), `fallbacks` (another model).
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
_MODEL = re.compile(r"[!-~]{1,100}")  # as long as the ledger's column
# Tools that the agent runs. Of all others the provider does, at a price per use and in rounds nobody can count.
CLIENT_TOOLS = ("custom", "bash_", "text_editor_", "computer_", "memory_")


@dataclass(frozen=True)
class Request:
    """A request that may be forwarded, once it is paid for."""

    raw: bytes
    parsed: dict[str, Any]

    @property
    def model(self) -> str:
        return str(self.parsed["model"])

    @property
    def stream(self) -> bool:
        return self.parsed.get("stream") is True

    @property
    def output_tokens(self) -> int:
        """What the agent asks for. The API takes it as a hard limit, thinking included."""
        return int(self.parsed["max_tokens"])

    @cached_property
    def minimum_output_tokens(self) -> int:
        """Less is useless, or refused by the API: thinking has to fit into the answer."""
        thinking = (self.parsed.get("thinking") or {}).get("budget_tokens") or 0
        return min(self.output_tokens, max(thinking + 1, USEFUL_OUTPUT_TOKENS))

    @property
    def converses(self) -> bool:
        """Whether the agent waits for this call to go on; asides, like naming the session, are not worth a stop."""
        aside = "format" in (self.parsed.get("output_config") or {}) and not self.parsed.get("tools")
        return not aside and self.output_tokens > 1

    def input_bound(self, price: Price) -> int:
        """The most tokens the prompt can have. Raises `Refused` when there is no telling."""
        tokens, certain = bounds.prompt_tokens(len(self.raw), self.parsed)
        if certain:
            return tokens
        if price.context_window is None:
            raise Refused(
                400,
                f"The request refers to content whose size the gateway cannot see, and the context window of "
                f"{self.model} is not known either. Send documents as text.",
            )
        return max(tokens, price.context_window)

    def body(self, output_tokens: int) -> bytes:
        """What to send: the agent's own bytes, unless the answer had to be cut to what is left."""
        if output_tokens == self.output_tokens:
            return self.raw
        return json.dumps({**self.parsed, "max_tokens": output_tokens}).encode()


def read(raw: bytes) -> Request:
    """Understand a request. Raises `Refused` for what is malformed or cannot be kept under a budget."""
    parsed = _decode(raw)
    if not isinstance(model := parsed.get("model"), str) or not _MODEL.fullmatch(model):
        raise Refused(400, "model: a name of at most 100 characters, without spaces, is required.")
    wanted = parsed.get("max_tokens")
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not 1 <= wanted <= OUTPUT_TOKENS_MAX:
        raise Refused(400, f"max_tokens: a whole number from 1 to {OUTPUT_TOKENS_MAX:,} is required.")
    _refuse_fields(parsed)
    shapes.check(parsed)
    _refuse_tools(parsed.get("tools") or [])
    _refuse_edits((parsed.get("context_management") or {}).get("edits") or [])
    return Request(raw, parsed)


def _decode(raw: bytes) -> dict[str, Any]:
    """Strictly: what two parsers could read differently is not forwarded on the strength of our reading."""
    try:
        parsed = json.loads(raw.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"The request body is not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise Refused(400, "The request body must be a JSON object.")
    return parsed


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("a key is given twice")
    return unique


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _refuse_fields(parsed: dict[str, Any]) -> None:
    for name, value in parsed.items():
        if name in FIELDS or value in (None, [], SURCHARGES.get(name)):
            continue
        raise Refused(
            400,
            f"{name}: the gateway does not pass this field on, because it cannot tell beforehand what it would cost.",
        )


def _refuse_tools(tools: list[dict[str, Any]]) -> None:
    for tool in tools:
        kind = str(tool.get("type") or "custom")
        if not kind.startswith(CLIENT_TOOLS):
            raise Refused(
                400,
                f"tools: {kind} is run by the provider, and nobody can tell beforehand what it would cost. "
                "Use the agent's own tools instead.",
            )


def _refuse_edits(edits: list[dict[str, Any]]) -> None:
    for edit in edits:
        kind = str(edit.get("type"))
        if not kind.startswith("clear_"):
            raise Refused(
                400,
                f"context_management: {kind} makes the provider run the model a second time, "
                "which no hold covers. Let the agent compact its conversation itself.",
            )
