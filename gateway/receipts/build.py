"""A machine's receipt, put together from the database, and signed.

What changes afterwards is in a later receipt: recordings expire, prices are corrected, checkpoints are pruned.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.utils import timezone

from budgets.models import LedgerEntry
from checkpoints.contents import manifests
from checkpoints.models import Checkpoint
from events import actions as events
from events.chain import keys
from events.models import Event, Link
from gateway.models import Call, Recording
from gateway.receipts import chain, entries
from gateway.receipts.chain import Entry
from machines import actions as machines
from machines.models import Machine
from projects.errors import Conflict
from projects.models import User

ISSUED = "receipt.issued"


def receipt(machine: Machine, *, by: User, so_far: bool = False, texts: bool = False) -> dict[str, Any]:
    """The receipt of a machine that has ended; of another one with `so_far` only, else `Conflict`.

    `texts`: with the prompt and the messages, not only their hashes. That it was issued is recorded, once for each
    that says something new.
    """
    if not machine.ended and not so_far:
        raise Conflict(
            f"Machine {machine.handle} is {machine.get_state_display().lower()}, and its receipt is not complete. "
            f"Wait for its end, or have one of what there is: autovibe receipt {machine.handle} --so-far",
            state=machine.state,
            possible=machine.verbs,
        )
    made = chain.linked(_entries(machine, texts=texts))
    _record(machine, made[-1]["digest"], by)
    return {"format": chain.FORMAT, "entries": made, "head": _head(made)}


def latest_digest(machine: Machine) -> str | None:
    """The digest of the last receipt of it that was issued."""
    issued = Event.objects.filter(subject=machine.subject, kind=ISSUED).first()
    return str(issued.data["digest"]) if issued else None


def _record(machine: Machine, digest: str, by: User) -> None:
    if latest_digest(machine) == digest:
        return
    told = {"handle": machine.handle, "digest": digest, "complete": machine.ended}
    events.record(ISSUED, subject=machine.subject, project_id=machine.project_id, by=by.username, **told)


def _head(made: list[Entry]) -> Entry:
    signed_at = timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    told = {"count": len(made), "digest": made[-1]["digest"], "signed_at": signed_at}
    key, signature = keys.sign(chain.message(**told))
    return {**told, "key": key, "signature": signature}


def _entries(machine: Machine, *, texts: bool) -> list[Entry]:
    kept = list(Checkpoint.objects.of(machine.subject).select_related("parent", "manifest"))
    ledger = _ledger(machine)
    calls = _calls(machine, ledger, {one.pk: one.handle for one in kept})
    of_calls = {row["id"] for call in calls for row in call["ledger"]}
    happened = [
        *calls,
        *(entries.checkpoint(one) for one in kept),
        *(entries.message(one, texts=texts) for one in machine.messages.all()),
    ]
    return [
        _machine(machine, texts=texts),
        *sorted(happened, key=lambda entry: str(entry["at"])),
        entries.diff(machine.source, manifests.last_listed(machine.present)),
        entries.compute([entry for entry in ledger if entry.pk not in of_calls]),
        entries.totals(ledger, calls=len(calls)),
        _audit(machine),
    ]


def _ledger(machine: Machine) -> list[LedgerEntry]:
    since = machine.created_at.date().replace(day=1)
    found = LedgerEntry.objects.filter(machine_id=machine.pk, month__gte=since)
    return list(found.filter(kind__in=LedgerEntry.CONSUMPTION).order_by("id"))


def _calls(machine: Machine, ledger: list[LedgerEntry], handles: Mapping[UUID | None, str]) -> list[Entry]:
    """Recordings are opened one after the other: all of them at once may be large."""
    paid: defaultdict[UUID | None, list[LedgerEntry]] = defaultdict(list)
    for entry in ledger:
        paid[entry.reservation_id].append(entry)
    recordings = Recording.objects.filter(call__machine=machine).select_related("call")
    opened = {one.call_id: entries.recording(one) for one in recordings.iterator(chunk_size=20)}
    found = Call.objects.filter(machine=machine).order_by("number")
    return [
        entries.call(one, paid[one.reservation_id], handles.get(one.checkpoint_id), opened.get(one.pk))
        for one in found
    ]


def _machine(machine: Machine, *, texts: bool) -> Entry:
    parent, source = machines.machine_of(machine.source), machine.source
    return {
        "kind": "machine",
        "machine": machine.handle,
        "id": str(machine.pk),
        "project": machine.project.slug,
        "asked_by": machine.created_by.username if machine.created_by else None,
        "type": machine.type,
        "model": machine.model,
        "network": machine.network,
        "wall_seconds": machine.wall_seconds,
        "prompt": entries.said(machine.prompt, texts=texts),
        "modifications": [entries.modification(one) for one in machine.files.order_by("path")],
        "source": {
            "checkpoint": source.handle,
            "id": str(source.pk),
            "manifest": source.manifest_id,
            "machine": parent.handle if parent else None,
            "receipt": latest_digest(parent) if parent else None,
        },
        "continues": machine.continues,
        "replays": machine.replays.handle if machine.replays else None,
        "complete": machine.ended,
        "state": machine.state,
        "sentence": machine.sentence,
        "exit_code": machine.exit_code,
        "currency": machine.project.currency,
        "created_at": entries.time(machine.created_at),
        "ended_at": entries.time(machine.ended_at),
    }


def _audit(machine: Machine) -> Entry:
    """Where its events are in the audit chain: an export of that says what each digest is of."""
    found = Event.objects.filter(subject=machine.subject).exclude(kind=ISSUED).order_by("id")
    kinds = dict(found.values_list("id", "kind"))
    links = Link.objects.filter(event_id__in=kinds)
    rows = [
        {
            "position": link.position,
            "event": link.event_id,
            "kind": kinds[link.event_id],
            "digest": link.digest,
        }
        for link in links
    ]
    return {"kind": "audit", "events": rows}
