"""What was last seen of the nodes, and what the guests of some machines take of them."""

from dataclasses import dataclass
from datetime import datetime

from django.core.cache import caches

from guests.models import Node

FRESH_SECONDS = 5


@dataclass(frozen=True)
class Nodes:
    """`memory_bytes` is what the guests have, `seen_at` when that was looked at."""

    online: int
    away: list[Node]
    memory_bytes: int
    seen_at: datetime | None

    @property
    def total(self) -> int:
        return self.online + len(self.away)


def seen(memory_bytes: int, seen_at: datetime | None) -> Nodes:
    """The nodes, which are the same for everybody and read every few seconds, with what is known of the guests."""
    nodes = caches["process"].get_or_set("fleet:nodes", lambda: list(Node.objects.all()), FRESH_SECONDS) or []
    away = [node for node in nodes if not node.online]
    return Nodes(len(nodes) - len(away), away, memory_bytes, seen_at)
