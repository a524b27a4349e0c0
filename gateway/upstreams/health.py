"""How the targets are doing, as far as this process has seen: cooling off, in trouble, at their limits per minute.

Nothing here is shared between processes but a key that was put aside (`UpstreamKey.cooled_until`): with several
gateway processes each allows itself the limits per minute, and the provider's own 429 has the last word.
"""

import heapq
import time
from dataclasses import dataclass, field

from django.utils import timezone

from gateway.upstreams.registry import Target

# However long a provider asks for: one that is well again is found out by one call in a minute.
COOL_SECONDS_MAX = 60.0
TROUBLE_SECONDS = 10.0
ASIDE_SECONDS = 600.0
BRIDGE_SECONDS = 5.0  # until the row has been written and read again
_REMEMBERED = 4096


class Hearsay:
    """How long not to ask, as projects were told. One believes what it was told itself, or what two others were.

    What a guest sends can be refused for what it is, with the same words: so one project alone silences nobody else.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def told(self, whose: str, seconds: float) -> None:
        now = time.monotonic()
        if len(self._until) >= _REMEMBERED:
            self._until = {one: until for one, until in self._until.items() if until > now}
        self._until[whose] = now + seconds

    def seconds(self, whose: str) -> float:
        """Below 0: it can be asked."""
        _, second = heapq.nlargest(2, [*self._until.values(), 0.0, 0.0])
        return max(self._until.get(whose, 0.0), second) - time.monotonic()


class Bucket:
    """So much per minute, as providers count it: refilled all the time, and a minute's worth at most.

    https://docs.claude.com/en/api/rate-limits: "token bucket algorithm".
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._level, self._at = float(per_minute), time.monotonic()

    def seconds_until(self, amount: float) -> float:
        """Until there is room for `amount`; what is more than a minute's worth may go when the bucket is full."""
        now = time.monotonic()
        self._level = min(self._level + (now - self._at) * self.per_minute / 60, float(self.per_minute))
        self._at = now
        missing = min(amount, self.per_minute) - self._level
        # A hair's breadth less than is needed is enough: the clock is finer than the arithmetic.
        return missing * 60 / self.per_minute if missing > 1e-6 else 0.0

    def take(self, amount: float) -> None:
        """May go below zero: what was more than expected is made up for by waiting."""
        self._level -= amount


@dataclass(slots=True)
class _State:
    requests: Bucket | None = None
    tokens: Bucket | None = None
    aside_until: float = 0.0
    cooled: dict[str, Hearsay] = field(default_factory=dict)  # by model: limits are theirs, too
    unpaid: Hearsay = field(default_factory=Hearsay)  # no credit
    troubled_until: float = 0.0


# By name and secret: a new secret is a new beginning.
_states: dict[tuple[str, str], _State] = {}


def reset() -> None:
    """Know nothing, as after a start."""
    _states.clear()


def seconds_until_usable(target: Target, model: str, tokens: int, whose: str) -> float:
    """How long that project is not to ask this target for this model: its limits, or its provider's word."""
    state = _of(target)
    cooled = state.cooled.get(model)
    return max(
        cooled.seconds(whose) if cooled else 0.0,
        state.requests.seconds_until(1) if state.requests else 0.0,
        state.tokens.seconds_until(tokens) if state.tokens else 0.0,
        0.0,
    )


def is_aside(target: Target, whose: str) -> bool:
    """Its key was refused lately."""
    state, until = _of(target), target.cooled_until
    if state.unpaid.seconds(whose) > 0:
        return True
    return state.aside_until > time.monotonic() or (until is not None and until > timezone.now())


def is_troubled(target: Target) -> bool:
    """It failed a moment ago: asked after the others, but asked."""
    return _of(target).troubled_until > time.monotonic()


def taken(target: Target, tokens: int) -> None:
    """A call goes there that comes to about so many tokens."""
    state = _of(target)
    if state.requests:
        state.requests.take(1)
    if state.tokens:
        state.tokens.take(tokens)


def corrected(target: Target, tokens: int) -> None:
    """It came to so many more than was expected, or fewer."""
    if bucket := _of(target).tokens:
        bucket.take(tokens)


def cool(target: Target, model: str, seconds: float, whose: str) -> None:
    """It answered 429 to a call of that project."""
    cooled = _of(target).cooled
    if len(cooled) >= _REMEMBERED:
        cooled.clear()
    cooled.setdefault(model, Hearsay()).told(whose, min(seconds, COOL_SECONDS_MAX))


def no_credit(target: Target, whose: str) -> bool:
    """It answered 402 to a call of that project. True when others were told so, too: then everybody believes it."""
    unpaid = _of(target).unpaid
    unpaid.told(whose, ASIDE_SECONDS)
    return unpaid.seconds("") > 0


def troubled(target: Target) -> None:
    """It could not be reached, or failed."""
    _of(target).troubled_until = time.monotonic() + TROUBLE_SECONDS


def well(target: Target) -> None:
    """It answered."""
    _of(target).troubled_until = 0.0


def put_aside(target: Target) -> None:
    """Its key is refused; it is tried again in ten minutes. Where it has a row, that says so soon, to everybody."""
    seconds = ASIDE_SECONDS if target.key_id is None else BRIDGE_SECONDS
    _of(target).aside_until = time.monotonic() + seconds


def put_back(target: Target) -> None:
    """It was seen to work."""
    _states.pop((target.identity, target.secret), None)


def _of(target: Target) -> _State:
    state = _states.get((target.identity, target.secret))
    if state is None:
        state = _states[target.identity, target.secret] = _State()
    state.requests = _bucket(state.requests, target.requests_per_minute)
    state.tokens = _bucket(state.tokens, target.tokens_per_minute)
    return state


def _bucket(known: Bucket | None, per_minute: int | None) -> Bucket | None:
    """The one that is there, unless the limit has changed."""
    if per_minute is None:
        return None
    return known if known and known.per_minute == per_minute else Bucket(per_minute)
