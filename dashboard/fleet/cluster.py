"""What was last seen of the nodes: which are there, and their room for more machines."""

from dataclasses import dataclass

from django.core.cache import caches

from guests.models import Node
from machines import room
from machines.room import Cluster

FRESH_SECONDS = 5


@dataclass(frozen=True)
class Nodes:
    """How many are there, and which are not."""

    online: int
    away: list[Node]

    @property
    def total(self) -> int:
        return self.online + len(self.away)


def seen() -> Nodes:
    """The nodes, which are the same for everybody and read every few seconds."""
    nodes = caches["process"].get_or_set("fleet:nodes", lambda: list(Node.objects.all()), FRESH_SECONDS) or []
    away = [node for node in nodes if not node.online]
    return Nodes(len(nodes) - len(away), away)


def rooms() -> Cluster:
    """Room for more machines: the same for everybody, and read every few seconds."""
    found: Cluster | None = caches["process"].get("fleet:room")
    if found is None:
        found = room.look()
        caches["process"].set("fleet:room", found, FRESH_SECONDS)
    return found
