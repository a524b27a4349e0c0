"""Tokens as the scripted provider counts them: four bytes each, and a prompt that was cached is read from the cache."""

import json
import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from decimal import Decimal

from tests.acceptance.script import Turn

BYTES_PER_TOKEN = 4
OPENAI_CACHE_TOKENS, OPENAI_CACHED_FROM = (
    128,
    1024,
)  # OpenAI caches by pieces of this size, and no shorter prompts

# Dollars per million tokens, as the providers publish them: in the order of the fields of `Figures`.
RATES: Mapping[str, tuple[str, str, str, str, str]] = {
    "claude-sonnet-4-5": ("3", "0.30", "3.75", "6", "15"),
    "gpt-4o": ("2.50", "1.25", "0", "0", "10"),
    "gpt-4o-mini": ("0.15", "0.075", "0", "0", "0.60"),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What one call consumed. The counts do not overlap."""

    input: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    output: int

    @property
    def prompt(self) -> int:
        return self.input + self.cache_read + self.cache_write + self.cache_write_1h

    def cost_micros(self, model: str) -> int:
        """What the provider charges: in millionths of a dollar, rounded up."""
        rates = map(Decimal, RATES[model])
        return math.ceil(sum(count * rate for count, rate in zip(astuple(self), rates, strict=True)))


class Counter:
    """Counts calls, and remembers how much of a model's prompt is in the cache."""

    def __init__(self) -> None:
        self._cached: dict[str, int] = {}

    def anthropic(self, model: str, raw: bytes, turn: Turn) -> Figures:
        """Anthropic caches what the request marks, for as long as the request says."""
        prompt, marked = prompt_tokens(raw), b'"cache_control"' in raw
        if not marked:
            return Figures(prompt, 0, 0, 0, _answer(turn))
        new = 3  # the end of a prompt is after the last mark
        read = min(self._cached.get(model, 0), prompt - new)
        written = prompt - new - read
        self._cached[model] = read + written
        hour = b'"ttl":"1h"' in raw.replace(b" ", b"")
        return Figures(new, read, 0 if hour else written, written if hour else 0, _answer(turn))

    def openai(self, model: str, raw: bytes, turn: Turn) -> Figures:
        """OpenAI caches by itself."""
        prompt = prompt_tokens(raw)
        read = min(self._cached.get(model, 0), prompt) // OPENAI_CACHE_TOKENS * OPENAI_CACHE_TOKENS
        self._cached[model] = prompt if prompt >= OPENAI_CACHED_FROM else 0
        return Figures(prompt - read, read, 0, 0, _answer(turn))


def prompt_tokens(raw: bytes) -> int:
    return len(raw) // BYTES_PER_TOKEN


def _answer(turn: Turn) -> int:
    said = turn.text + turn.thought + turn.tool + json.dumps(turn.arguments)
    return len(said.encode()) // BYTES_PER_TOKEN + 1
