"""The last hour of a guest's processors as one path: what nobody measured is a gap in it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from uuid import UUID

from django.utils import timezone

from guests.models import Usage
from machines.size import CORES

HEIGHT = 20
SLOTS = 30  # of two minutes each: more would not be seen, and are sent for every machine of a page
SLOT = timedelta(minutes=2)


@dataclass(frozen=True)
class Spark:
    """`path` in a box of 30 by 20; `last` and `most` in per cent of all the guest's processors."""

    path: str
    last: int
    most: int

    @property
    def sentence(self) -> str:
        return f"CPU: {self.last} %, at most {self.most} % in the last hour"


def of(guests: Iterable[UUID]) -> dict[UUID, Spark]:
    """Of those that were measured in the last hour; a single query."""
    until = timezone.now().astimezone(UTC).replace(second=0, microsecond=0)
    since = until - SLOTS * SLOT
    measured = Usage.objects.filter(guest__in=list(guests), at__gte=since, at__lt=until).order_by()
    shares: dict[UUID, dict[int, list[float]]] = {}
    for guest, at, seconds in measured.values_list("guest", "at", "cpu_seconds"):
        slots = shares.setdefault(guest, {})
        slots.setdefault(int((at - since) / SLOT), []).append(min(seconds / (60 * CORES), 1))
    return {
        guest: drawn({slot: sum(used) / len(used) for slot, used in slots.items()})
        for guest, slots in shares.items()
    }


def drawn(used: Mapping[int, float]) -> Spark:
    """The share used, 0 to 1, by its slot in the hour."""
    runs: list[list[str]] = []
    before = None
    for slot, share in sorted(used.items()):
        if before is None or slot > before + 1:
            runs.append([])
        runs[-1].append(f"{slot} {HEIGHT - 1 - round(share * (HEIGHT - 2))}")
        before = slot
    # A slot by itself would be a line of no length, which is not drawn.
    path = "".join(f"M{'L'.join(run)}{'h.5' if len(run) == 1 else ''}" for run in runs)
    return Spark(path, round(100 * used[max(used)]), round(100 * max(used.values())))
