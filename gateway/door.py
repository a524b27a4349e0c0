"""Who may come in: a token is looked at before anything that comes with it, so that strangers cost next to nothing.

Whether a call of the machine is let in, the database says again with the call (`gateway.teller`).
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from gateway import database
from gateway.calls import NOT_A_TOKEN
from gateway.errors import Refused
from machines.models import MachineToken

KNOWN_SECONDS = 2.0
_REMEMBERED = 4096

# Of what a token asks for at the same time: read, a body can take twenty times its length.
AT_ONCE_BYTES_MAX = 64 * 1024**2

_under_way: Counter[str] = Counter()  # bytes, by token
_seen: OrderedDict[str, float] = OrderedDict()  # digests of tokens, and when they were last seen alive


async def check(token: str) -> None:
    """Raises `Refused` (401) unless the token is, or was two seconds ago, a living machine's."""
    digest = MachineToken.digest_of(token)
    if time.monotonic() - _seen.get(digest, float("-inf")) < KNOWN_SECONDS:
        return
    if not token or not await database.run(_is_alive, digest):
        raise Refused(401, NOT_A_TOKEN)
    seen(digest)


@contextmanager
def room_for(token: str, length: int) -> Iterator[None]:
    """While a body of this length is worked on. Raises `Refused` (429) when the token's others fill the room."""
    if length and _under_way[token] + length > AT_ONCE_BYTES_MAX:
        raise Refused(429, "This machine has too many long requests under way.", retry_after_seconds=5)
    _under_way[token] += length
    try:
        yield
    finally:
        _under_way[token] -= length
        if not _under_way[token]:
            del _under_way[token]


def seen(digest: str) -> None:
    """The token of this digest is alive now."""
    _seen[digest] = time.monotonic()
    _seen.move_to_end(digest)
    if len(_seen) > _REMEMBERED:
        _seen.popitem(last=False)


def reset() -> None:
    """Know nobody, as after a start."""
    _seen.clear()


def _is_alive(digest: str) -> bool:
    return MachineToken.objects.filter(digest=digest, revoked_at=None).exists()
