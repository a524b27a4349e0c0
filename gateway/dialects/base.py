"""A dialect and a request in it, as the rest of the gateway sees them: what it may cost, and what is sent for it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from budgets.prices import Price, Usage
from gateway.dialects import encoding
from gateway.dialects.prints import Prints, prints_of
from gateway.dialects.tools import Assembly, ToolCall
from gateway.errors import Refused
from gateway.http import RawHeaders

# An answer cut shorter than this is of no use to an agent; better to say that the money is gone.
USEFUL_OUTPUT_TOKENS = 1024
OUTPUT_TOKENS_MAX = 256_000
# Room in every bound for the word to wrap up, as whether it is needed is only known once the call is paid for.
NOTICE_BYTES = 600
# A new turn's frame is longer in JSON than in the prompt; this is for what a provider changes by itself, like the date.
FORESEEN_TOKENS = 256

Turn = dict[str, Any]


class Meter(Protocol):
    """Reads usage figures and tool calls out of an answer as it passes.

    `final`: the figures are the provider's last word. `begun`: the prompt's are known, the answer's are not.
    """

    tools: Assembly

    @property
    def begun(self) -> bool: ...
    @property
    def final(self) -> bool: ...
    def feed(self, chunk: bytes) -> bytes:
        """Take what came; returns what the agent is to see now."""

    def end(self) -> bytes:
        """The answer ended as it should; returns what was kept back of it."""

    def usage(self) -> Usage: ...


class Dialect(Protocol):
    """One API. `provider` is whose price list holds, as genai-prices calls it."""

    @property
    def name(self) -> str: ...
    @property
    def provider(self) -> str: ...
    def read(self, raw: bytes) -> "Request":
        """Understand a request. Raises `Refused` for what is malformed or cannot be kept under a budget."""

    def error_body(self, refused: Refused, request_id: str) -> dict[str, object]:
        """A refusal, as agents that speak this dialect know how to read it."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the provider has counted before: the first `turns` of a request, with all that stands before them."""

    turns: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Size:
    """The most tokens that something can be. Uncertain: part of it cannot be seen from here."""

    tokens: int
    certain: bool = True


@dataclass(frozen=True)
class Request(ABC):
    """A request that may be forwarded, once it is paid for."""

    dialect: Dialect
    raw: bytes  # as it came
    parsed: dict[str, Any]
    encoded: bytes  # the same, in our writing

    @property
    def model(self) -> str:
        return str(self.parsed["model"])

    @property
    def stream(self) -> bool:
        return self.parsed.get("stream") is True

    @property
    @abstractmethod
    def output_tokens(self) -> int:
        """The most that the answer may have, thinking included. The API takes it as a hard limit."""

    @property
    @abstractmethod
    def minimum_output_tokens(self) -> int:
        """Less is useless, or refused by the API."""

    @property
    @abstractmethod
    def converses(self) -> bool:
        """Whether the agent waits for this call to go on; asides, like naming the session, are not worth a stop."""

    @property
    @abstractmethod
    def cache_writes(self) -> str:
        """The dearest kind of cache write that the call can cause: "" for none, "5m" or "1h"."""

    @property
    @abstractmethod
    def lasting(self) -> bool:
        """Whether the same bytes make a prompt of the same size again; see `gateway.sessions`."""

    @property
    @abstractmethod
    def turns(self) -> list[Turn]:
        """The conversation, oldest first, without marks that are no part of the prompt."""

    @property
    @abstractmethod
    def executed(self) -> list[ToolCall]:
        """The tool calls of the model's last turn that the agent brings results of."""

    @property
    @abstractmethod
    def frame(self) -> dict[str, Any]:
        """All else that the prompt is made from: instructions, tools, and how to treat the turns."""

    @abstractmethod
    def meter(self, *, streams: bool) -> Meter:
        """What reads the usage of the answer to this request."""

    @abstractmethod
    def _size(self, turns: list[Turn] | None, length: int) -> Size:
        """Of some turns, `length` bytes long, or, without, of all the request."""

    @abstractmethod
    def _changes(self, output_tokens: int, notice: str) -> dict[str, Any]:
        """Fields of the body that are sent otherwise than they came. `notice` is to be the last the agent is told."""

    @abstractmethod
    def _continues(self, turn: Turn) -> bool:
        """Whether a turn was written by the model."""

    def _window(self, price: Price) -> int | None:
        """The most tokens that the provider takes."""
        return price.context_window

    def answers(self, turns: int) -> bool:
        """Whether the model answered right after the first `turns`, so that they were a whole prompt."""
        return self._continues(self.turns[turns]) and not self._continues(self.turns[turns - 1])

    @cached_property
    def prints(self) -> Prints:
        return prints_of(self.frame, self.turns)

    def input_bound(self, price: Price, known: Known | None = None) -> int:
        """The most tokens the prompt can have. Raises `Refused` when there is no telling."""
        sizes = [self._size(None, len(self.encoded))]
        if known:
            new = self._size(self.turns[known.turns :], sum(self.prints.lengths[known.turns :]))
            sizes.append(Size(known.tokens + new.tokens + FORESEEN_TOKENS, new.certain))
        if certain := [size.tokens for size in sizes if size.certain]:
            return min(certain) + NOTICE_BYTES
        if (window := self._window(price)) is None:
            raise Refused(
                400,
                f"The request refers to content whose size the gateway cannot see, and the context window of "
                f"{self.model} is not known either. Send documents as text.",
            )
        return max(sizes[0].tokens + NOTICE_BYTES, window)

    def headers(self, came: RawHeaders, price: Price) -> RawHeaders:
        """Those that are sent: without what would make the answer dearer than `price` says."""
        return came

    def body(self, output_tokens: int, *, notice: str = "") -> bytes:
        """What to send, when the answer may have so many tokens. A notice is cut to `NOTICE_BYTES`."""
        brief = notice.encode()[:NOTICE_BYTES].decode(errors="ignore")
        changes = self._changes(output_tokens, brief)
        if not changes:
            return self.encoded
        return encoding.encode({**self.parsed, **changes})
