"""Whether what the wall says is still observed: our processes, and the nodes of the cluster."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from dashboard.fleet import cluster
from guests.models import Guest, Node
from machines.room import Room
from operations import processes

LATE_AFTER = timedelta(minutes=1)


@dataclass(frozen=True)
class Health:
    """`missing` names our processes that are not there; `seen_at` is when the cluster last told of a guest."""

    missing: list[str]
    seen_at: datetime | None

    @property
    def trouble(self) -> str:
        """Why what is shown of machines may be old; "" when it is not."""
        if self.missing:
            do = "does" if len(self.missing) == 1 else "do"
            return f"The {' and the '.join(self.missing)} of autovibe {do} not run"
        if self.seen_at and timezone.now() - self.seen_at > LATE_AFTER:
            return "The cluster does not answer"
        return ""


def look() -> Health:
    """Two queries."""
    alive = processes.alive()
    missing = [name for name in processes.PROCESSES if name not in alive]
    return Health(missing, Guest.last_observed_at())


def nodes() -> list[tuple[Node, Room]]:
    """Those that are away first, each with its room for more machines. One query, and what the rooms take."""
    rooms = cluster.rooms()
    return [(node, rooms.on(node.name)) for node in Node.objects.order_by("online", "name")]
