"""What the provider has told us of an agent's conversations: a tighter bound for the next call of each.

An agent sends its whole conversation again with every call. Bounded by its bytes it seems four times as long as it is,
and holds four times the money. But how long most of it is, the provider has said with the answer to the call before.

Why it stays a bound. A request that was answered had T tokens, by the provider's own count. A later one has the same
frame (model, tools, instructions, settings, beta headers) and the same turns, then a turn of the model, then others.
Turns are set apart by special tokens, so the first part has T tokens again, or fewer: what providers leave out of old
turns (their thinking, before all) is more with every turn. And the new turns have at most as many as they have bytes.

Where that reasoning fails, nothing is learned: the same bytes may be another prompt, because they name what is kept
elsewhere (an address, a file, an earlier response), or the provider clears or truncates as it sees fit; or the first
new turn is not the model's, so that it may be joined to the one before. The caller keeps away from here what a server
of unknown habits has counted.

Each process remembers what it has seen; elsewhere the plain bound is used.
A session is one start of a machine, as its token says.
"""

import threading
from collections import OrderedDict

from budgets.prices import Usage
from gateway.dialects.base import Known, Request

SESSIONS_MAX = 1024
# A session has several conversations at a time: with subagents, and asides.
CONVERSATIONS_MAX = 32

_lock = threading.Lock()
_sessions: OrderedDict[str, OrderedDict[bytes, int]] = OrderedDict()


def recall(session: str, request: Request) -> Known | None:
    """The longest beginning of `request` that was counted before."""
    if not request.lasting:
        return None
    with _lock:
        counted = dict(_sessions.get(session, ()))
    chain, whole = request.prints.chain if counted else (), len(request.turns)
    for turns in range(len(chain) - 1, 0, -1):
        tokens = counted.get(chain[turns])
        if tokens is not None and (turns == whole or request.answers(turns)):
            return Known(turns, tokens)
    return None


def learn(session: str, request: Request, usage: Usage) -> None:
    """The provider has counted `request`, as it came from the agent."""
    if not (request.lasting and request.turns and usage.prompt_tokens):
        return
    with _lock:
        counted = _sessions.setdefault(session, OrderedDict())
        _sessions.move_to_end(session)
        _remember(counted, request.prints.chain[-1], usage.prompt_tokens)
        while len(_sessions) > SESSIONS_MAX:
            _sessions.popitem(last=False)


def forget() -> None:
    """Know nothing, as after a start."""
    with _lock:
        _sessions.clear()


def _remember(counted: OrderedDict[bytes, int], end: bytes, tokens: int) -> None:
    counted[end] = tokens
    counted.move_to_end(end)
    while len(counted) > CONVERSATIONS_MAX:
        counted.popitem(last=False)
