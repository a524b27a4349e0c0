"""How many more machines a node has room for, from what was last seen of the cluster. Proxmox is not asked here.

Memory and storage are counted, each machine with the whole of its own, although a linked clone takes only what it
writes. Processors are shared, so they never bind.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db.models import F, Q, Sum, Value
from django.db.models.functions import Greatest
from django.utils import timezone

from guests.models import Guest, Node, Storage
from guests.states import EXISTING
from machines.models import Machine
from machines.size import MEMORY_MIB
from machines.states import SPAWNING

MEMORY_BYTES = MEMORY_MIB * 1024**2
# What was seen longer ago says nothing of now; nodes are looked at every minute.
KNOWN_FOR = timedelta(minutes=10)


class Bound(NamedTuple):
    """How many more machines one resource of a node bears."""

    machines: int
    resource: str
    free_bytes: int


@dataclass(frozen=True)
class Room:
    """`machines` more fit on the node, and `binds` is what they use up first; None where nobody knows, and `unknown`
    says what is missing. Where only the storage is unknown, `machines` counts memory alone.
    """

    node: str
    machines: int | None
    binds: str = ""
    free_bytes: int = 0
    unknown: str = ""
    load: str = ""  # of its processors, in words; "" where nobody knows

    @property
    def short(self) -> str:
        """For a label beside the node's name."""
        if self.machines is None:
            return "room unknown"
        return f"room for {self.machines}" if self.machines else "no room"

    @property
    def why(self) -> str:
        """What the number rests on."""
        if self.machines is None:
            return f"It is unknown how much room {self.node or 'there'} has: {self.unknown}."
        known = f"{self.binds[0].upper()}{self.binds[1:]} binds on {self.node}: {_size(self.free_bytes)} of it is free."
        return f"{known} Its storage is not counted: {self.unknown}." if self.unknown else known

    @property
    def sentence(self) -> str:
        """All of it, in words."""
        if self.machines is None:
            return self.why
        many = f"about {self.machines} more machines" if self.machines > 1 else "one more machine"
        return f"{f'Room for {many}.' if self.machines else 'No room for another machine.'} {self.why}"


@dataclass(frozen=True)
class Cluster:
    """The room of each node; new machines begin `here`, on the node of the template ("" while that is not known)."""

    rooms: dict[str, Room]
    beginning: str

    def on(self, node: str) -> Room:
        missing = f"node {node} was not seen yet" if node else "no template was seen yet"
        return self.rooms.get(node) or Room(node, None, unknown=missing)

    @property
    def here(self) -> Room:
        return self.on(self.beginning)


class _Source(NamedTuple):
    """What new machines on a node are made from: their disks are as large, and on the same storage."""

    node: str
    storage: str
    disk_bytes: int
    template: bool
    vmid: int


def look() -> Cluster:
    """Four queries, whatever the number of machines."""
    now = timezone.now()
    nodes, sources = list(Node.objects.all()), _sources()
    storages = {(one.node, one.name): one for one in Storage.objects.all()}
    memory, disks = _promised()
    rooms = {}
    for node in nodes:
        source = sources.get(node.name)
        storage = storages.get((node.name, source.storage)) if source else None
        bounds = [
            _memory(node, memory.get(node.name, 0), now),
            _storage(source, storage, disks, now) if source else "nothing was cloned there yet",
        ]
        rooms[node.name] = _room(node, *bounds)
    return Cluster(rooms, _beginning(sources.values()))


def _sources() -> dict[str, _Source]:
    """By node: its template, or else the newest guest that is there."""
    found = Guest.objects.filter(state__in=EXISTING).order_by("node", "-template", "-vmid").distinct("node")
    fields = ("node", "storage", "disk_bytes", "template", "vmid")
    return {row[0]: _Source(*row) for row in found.values_list(*fields)}


def _beginning(sources: Iterable[_Source]) -> str:
    """The node of the template that is set, or of another one where that was not seen."""
    templates = [source for source in sources if source.template]
    templates.sort(key=lambda source: source.vmid != settings.PROXMOX_TEMPLATE)
    return templates[0].node if templates else ""


def _promised() -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """Bytes of memory by node, and of disk by node and storage, that machines may take and have not taken yet.

    One that is starting has taken nothing.
    """
    missing = Greatest(Value(MEMORY_BYTES) - F("guest__memory_bytes"), Value(0))
    places = Machine.objects.live().order_by().values_list("guest__node", "guest__storage")
    memory: dict[str, int] = {}
    disks: dict[tuple[str, str], int] = {}
    spawning = Q(state__in=SPAWNING)
    taken = places.annotate(missing=Sum(missing), disk=Sum("guest__disk_bytes", filter=spawning))
    for node, storage, bytes_, disk in taken:
        memory[node] = memory.get(node, 0) + int(bytes_)
        disks[node, storage] = int(disk or 0)
    return memory, disks


def _memory(node: Node, promised: int, now: datetime) -> Bound | str:
    if not node.online:
        return "the node is away"
    if node.memory_bytes is None or node.memory_used_bytes is None:
        return "Proxmox has not told how much memory it has"
    if _is_old(node.seen_at, now):
        return "it was not looked at for a while"
    free = max(node.memory_bytes - node.memory_used_bytes - promised, 0)
    return Bound(free // MEMORY_BYTES, "memory", free)


def _storage(
    source: _Source, storage: Storage | None, promised: dict[tuple[str, str], int], now: datetime
) -> Bound | str:
    if not source.disk_bytes or not source.storage:
        return "nobody has looked yet how large a disk is"
    if storage is None or storage.available_bytes is None or _is_old(storage.seen_at, now):
        return f"Proxmox has not told how full {source.storage} is"
    free = max(storage.available_bytes - promised.get((source.node, source.storage), 0), 0)
    return Bound(free // source.disk_bytes, f"storage {source.storage}", free)


def _is_old(seen_at: datetime | None, now: datetime) -> bool:
    return seen_at is None or now - seen_at > KNOWN_FOR


def _room(node: Node, memory: Bound | str, storage: Bound | str) -> Room:
    if isinstance(memory, str):
        return Room(node.name, None, unknown=memory)
    if isinstance(storage, str):
        return Room(node.name, *memory, unknown=storage, load=_load(node))
    return Room(node.name, *min(memory, storage), load=_load(node))


def _load(node: Node) -> str:
    if not node.processors or node.cpu is None:
        return ""
    return f"Its {node.processors} processors are {node.cpu * 100:.0f} % busy."


def _size(amount: int) -> str:
    return f"{amount / 1e9:,.0f} GB" if amount >= 10e9 else f"{amount / 1e9:.1f} GB"
