"""Reconciliation, every minute: what Proxmox has against what we think. Differences are told, and never acted upon.

One exception: a VM that carries the id of a guest which we thought not made yet is adopted.
"""

import contextlib
import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from events import actions as events
from guests import locks
from guests.models import Guest, Node, Storage, Stray
from guests.states import EXISTING, State
from operations.models import Operation
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import MARK, VM, Observed, Power
from proxmox.driver import Node as Seen

# A lock that is seen for so long without a task is one that a dead task has left.
LOCKED_FOR = timedelta(seconds=60)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DISK = re.compile(r"(?:scsi|virtio|sata|ide)\d+")
_FORMATS = ("qcow2", "vmdk", "raw")


def reconcile() -> None:
    """Look at nodes, storages, disks, guests and strays; the cluster is asked a handful of times, whatever its size."""
    with contextlib.suppress(errors.Refused):  # a token without Pool.Allocate finds it made by an operator
        driver().ensure_pool(settings.PROXMOX_POOL)
    now = timezone.now()
    _nodes(now)
    _storages(now)
    inventory = {vm.vmid: vm for vm in driver().inventory()}
    busy = set(Operation.objects.active().values_list("lock", flat=True))
    for guest in Guest.objects.filter(state__in=EXISTING):
        if guest.subject not in busy:
            _compare(guest, inventory.get(guest.vmid), now)
    _strays(inventory)


# --- the cluster ---


def _nodes(now: datetime) -> None:
    for seen in driver().nodes():
        node, _ = Node.objects.get_or_create(name=seen.name, defaults={"online": seen.online})
        turned = node.online != seen.online
        if turned:
            node.online, node.since = seen.online, now
        _measure(node, seen, now)
        node.save()
        if turned:
            events.record("node.back" if seen.online else "node.away", subject=f"node:{node.name}")


def _measure(node: Node, seen: Seen, now: datetime) -> None:
    """What Proxmox does not tell it leaves out, or gives as nothing; no node has no memory."""
    told = bool(seen.memory_bytes)
    node.processors = seen.processors or None
    node.cpu = seen.cpu if told else None
    node.memory_bytes = seen.memory_bytes or None
    node.memory_used_bytes = seen.memory_used_bytes if told else None
    node.seen_at = now


def _storages(now: datetime) -> None:
    """Storages that are not shown, because they or their node are away, are remembered."""
    rows = [
        Storage(
            node=seen.node,
            name=seen.name,
            kind=seen.kind,
            chain=seen.chain,
            total_bytes=seen.total_bytes or None,
            available_bytes=seen.available_bytes if seen.total_bytes else None,
            seen_at=now,
        )
        for seen in driver().storages()
    ]
    changing = ["kind", "chain", "total_bytes", "available_bytes", "seen_at"]
    Storage.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["node", "name"], update_fields=changing
    )


# --- guests ---


def _compare(guest: Guest, seen: Observed | None, now: datetime) -> None:
    being_made = guest.state == State.ALLOCATED and guest.project_id  # a template's build tells of itself
    if seen and being_made and _carries(guest, guest.vm):
        guest.move(State.PRESENT)
        _tell(guest, "guest.adopted", "It was found made, although nobody had said so.")
    if seen and not guest.storage:
        look_at_disk(guest)
    if guest.state == State.ALLOCATED:
        return
    if seen and seen.power == Power.UNKNOWN:
        return  # its node is away, or has not told of it yet: what the list says of it is no proof
    drift = list(_drift(guest, seen, now))
    if drift != guest.drift:
        for sentence in [one for one in drift if one not in guest.drift]:
            _tell(guest, "guest.drifted", sentence)
        Guest.objects.filter(pk=guest.pk).update(drift=drift)


def _carries(guest: Guest, vm: VM) -> bool:
    with contextlib.suppress(errors.Missing, errors.Refused):
        return str(guest.id) in driver().config(vm).get("description", "")
    return False


def _drift(guest: Guest, seen: Observed | None, now: datetime) -> Iterator[str]:
    """How the VM is not as we left it."""
    if guest.template or guest.state != State.PRESENT:
        return
    if seen is None:
        yield f"VM {guest.vmid} is not there any more."
        return
    if MARK not in seen.tags:
        yield (
            f"VM {guest.vmid} has lost the tag {MARK}, so nothing is done to it any more. "
            f"On node {seen.node} run: qm set {guest.vmid} --tags {MARK}"
        )
    if seen.pool and seen.pool != settings.PROXMOX_POOL:
        yield f"VM {guest.vmid} was moved into pool {seen.pool}."
    if seen.template:
        yield f"VM {guest.vmid} was made a template."
    if guest.lock and guest.lock_since and now - guest.lock_since > LOCKED_FOR:
        yield from filter(None, [locks.blocked(guest)])


def look_at_disk(guest: Guest) -> None:
    """Note which storage the guest's first disk is on, its format, and how large it is."""
    with contextlib.suppress(errors.Missing, errors.Refused):
        config = driver().config(guest.vm)
        disks = [(key, text) for key, text in sorted(config.items()) if _DISK.fullmatch(key)]
        volume = next((text for _, text in disks if "media=cdrom" not in text and ":" in text), "")
        guest.storage = volume.partition(":")[0]
        guest.image_format = _format(volume)
        guest.disk_bytes = _bytes(volume)
        guest.save(update_fields=["storage", "image_format", "disk_bytes"])


def _format(volume: str) -> str:
    name = volume.partition(",")[0]
    return next((one for one in _FORMATS if name.endswith(f".{one}")), "raw") if name else ""


def _bytes(volume: str) -> int:
    match = re.search(r"size=(\d+(?:\.\d+)?)([KMGT]?)", volume)
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2] or " ")) if match else 0


def _tell(guest: Guest, kind: str, sentence: str) -> None:
    events.record(kind, subject=guest.subject, project_id=guest.project_id, sentence=sentence)


# --- strays ---


def _strays(inventory: dict[int, Observed]) -> None:
    ours = set(Guest.objects.filter(state__in=EXISTING).values_list("vmid", flat=True))
    known_power = [vm for vm in inventory.values() if vm.power != Power.UNKNOWN]
    found = [vm for vm in known_power if vm.vmid not in ours and _looks_ours(vm)]
    Stray.objects.filter(vmid__in=ours).delete()
    Stray.objects.exclude(vmid__in=inventory).delete()
    known = {stray.vmid: stray for stray in Stray.objects.all()}
    for vm in found:
        if stray := known.get(vm.vmid):
            _confirm(stray)
        elif not _being_destroyed(vm.vmid):
            _note(vm)


def _looks_ours(vm: Observed) -> bool:
    return MARK in vm.tags or vm.pool == settings.PROXMOX_POOL


def _being_destroyed(vmid: int) -> bool:
    """The cluster's list may be some seconds old."""
    recent = timezone.now() - timedelta(minutes=1)
    return Guest.objects.filter(vmid=vmid, observed_at__gt=recent).exists()


def _confirm(stray: Stray) -> None:
    if not stray.confirmed:
        Stray.objects.filter(pk=stray.pk).update(confirmed=True)
        events.record(
            "guest.stray", subject=f"vm:{stray.vmid}", name=stray.name, node=stray.node, why=stray.why
        )


def _note(vm: Observed) -> None:
    description = ""
    with contextlib.suppress(errors.Missing, errors.Refused):
        description = driver().config(VM(vm.node, vm.vmid)).get("description", "")
    owner = next(iter(_UUID.findall(description)), "")
    guest = Guest.objects.filter(pk=owner).first() if owner else None
    why = _whose(vm, guest)
    Stray.objects.create(
        vmid=vm.vmid, node=vm.node, name=vm.name, description=description, owner=owner, why=why
    )


def _whose(vm: Observed, guest: Guest | None) -> str:
    if guest is None:
        return "No machine of this installation accounts for it."
    if guest.vmid == vm.vmid and guest.state == State.GONE:
        return "It was destroyed, and is there again."
    return f"It is a copy of VM {guest.vmid} that was made by hand."
