"""A wall screen's socket: it rings for what the screen shows, and says nothing of what it was.

The key comes as a subprotocol: what is in the address of a handshake gets into logs.
"""

from collections import Counter
from typing import Any

from channels.db import database_sync_to_async

from dashboard import screens
from dashboard.consumers import NO_ACCESS, NOT_FOR_THE_FLEET, TOO_MANY, Doorbell
from events import actions as events

PROTOCOL = "wall"
PROJECTS_MAX = 50  # that are listened to one by one
SOCKETS_OF_ONE = 40  # of a screen, in one process: whoever has its key need be nobody's user
_open: Counter[str] = Counter()  # by screen


class WallBell(Doorbell):
    """Several rings within a moment are one. That the screen itself was changed or revoked is one as well."""

    _counted = ""  # the screen, once this is one of its open sockets

    async def connect(self) -> None:
        self._begin()
        offered = self.scope.get("subprotocols") or []
        # A refused handshake has no code that the page could read.
        await self.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
        subjects = await _subjects([one for one in offered if one != PROTOCOL])
        if not subjects:
            await self.close(NO_ACCESS)
        elif _open[subjects[0]] >= SOCKETS_OF_ONE:
            await self.close(TOO_MANY)
        else:
            self._counted = subjects[0]
            _open[self._counted] += 1
            await self._listen(subjects)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._counted:
                _open.subtract([self._counted])

    async def doorbell(self, message: dict[str, Any]) -> None:
        if message["kind"] not in NOT_FOR_THE_FLEET:
            self._ring(events.FLEET, "changed")


@database_sync_to_async  # type: ignore[untyped-decorator]
def _subjects(keys: list[str]) -> list[str]:
    """Of the screen with that key: itself, and its projects; the fleet where they are too many."""
    screen = screens.by_key(keys[0]) if keys else None
    if screen is None:
        return []
    projects = [project.subject for project in screen.sight[: PROJECTS_MAX + 1]]
    return [screen.subject, *(projects if len(projects) <= PROJECTS_MAX else [events.FLEET])]
