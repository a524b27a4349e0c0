"""What a machine's rows say, as entries of a receipt: whole numbers, texts and hashes. Queries only."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from budgets.models import LedgerEntry
from checkpoints.contents import manifests
from checkpoints.models import Checkpoint
from checkpoints.reading.diff import renamed
from gateway import record
from gateway.models import Call, Recording
from gateway.receipts.chain import Entry
from gateway.secrets import Unreadable
from machines.models import Message

TOKENS = ("input_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens")
COMPUTE = ("wall_seconds", "cpu_seconds", "memory_mb_seconds", "storage_mb_seconds", "network_bytes")


def time(at: datetime | None) -> str | None:
    """In UTC, to the microsecond."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if at else None


def hashed(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def said(text: str, *, texts: bool) -> Entry:
    """A text by its hash; itself only where that is asked for."""
    content = text.encode()
    told: Entry = {"sha256": hashed(content), "bytes": len(content)}
    return {**told, "text": text} if texts else told


def modification(one: Any) -> Entry:
    """A file that the machine was given."""
    content = bytes(one.content)
    return {
        "path": one.path,
        "mode": one.mode,
        "deleted": one.removes,
        "sha256": hashed(content),
        "bytes": len(content),
    }


def message(one: Message, *, texts: bool) -> Entry:
    """Something that was said to its agent."""
    return {
        "kind": "message",
        "at": time(one.created_at),
        "author": one.author,
        "message": said(one.text, texts=texts),
        "at_once": one.at_once,
        "delivered_at": time(one.delivered_at),
    }


def checkpoint(one: Checkpoint) -> Entry:
    """A state that was kept. Taken for a call, it holds what there was before that call."""
    return {
        "kind": "checkpoint",
        "at": time(one.created_at),
        "checkpoint": one.handle,
        "id": str(one.pk),
        "parent": one.parent.handle if one.parent else None,
        "after_call": one.call_number - 1 if one.call_number else None,
        "taken_as": one.kind,
        "trigger": one.trigger,
        "why": one.why,
        "state": one.state,
        "manifest": one.manifest_id,
        "files": one.manifest.files if one.manifest else None,
        "bytes": one.manifest.size if one.manifest else None,
        "spent_micros": one.spent_micros,
        "captured_at": time(one.captured_at),
    }


def call(one: Call, ledger: list[LedgerEntry], checkpoint: str | None, recorded: Entry | None) -> Entry:
    """A model call: what was recorded of it, and what of it is in the ledger."""
    return {
        "kind": "call",
        "at": time(one.started_at),
        "call": one.number,
        "id": str(one.pk),
        "model": one.model,
        "api": one.dialect,
        "upstream": one.upstream,
        "upstream_request_id": one.request_id,
        "offline": one.offline,
        "state": one.state,
        "status": one.status,
        "error": one.error,
        "checkpoint": checkpoint,
        "recording": recorded,
        "tokens": {name.removesuffix("_tokens"): _sum(ledger, name) for name in TOKENS},
        "micros": _sum(ledger, "micros"),
        "ledger": [_ledger(entry) for entry in ledger],
        "took_ms": one.duration_ms,
    }


def recording(one: Recording) -> Entry:
    """Hashes of what was recorded, which may be without secrets, or too large to have been kept."""
    told: Entry = {"mode": one.mode, "complete": one.complete}
    try:
        bodies = record.opened(one)
    except Unreadable as error:
        return {**told, "unreadable": str(error)}
    return {
        **told,
        "request_sha256": hashed(bodies.request) if one.request else None,
        "response_sha256": hashed(bodies.response) if one.response else None,
    }


def _ledger(entry: LedgerEntry) -> Entry:
    return {
        "id": entry.pk,
        "kind": entry.kind,
        "micros": entry.micros,
        "tokens": {name.removesuffix("_tokens"): getattr(entry, name) for name in TOKENS},
        "price": entry.price_version,
    }


def compute(ledger: list[LedgerEntry]) -> Entry:
    """What the ledger has of it besides its calls: time, processor, memory, storage, network."""
    return {
        "kind": "compute",
        "ledger": sorted(entry.pk for entry in ledger),
        **{name: _sum(ledger, name) for name in COMPUTE},
        "micros": _sum(ledger, "micros"),
    }


def totals(ledger: list[LedgerEntry], *, calls: int) -> Entry:
    """What the ledger comes to."""
    return {
        "kind": "totals",
        "calls": calls,
        "tokens": {name.removesuffix("_tokens"): _sum(ledger, name) for name in TOKENS},
        "micros": _sum(ledger, "micros"),
        "ledger_entries": len(ledger),
    }


def _sum(ledger: list[LedgerEntry], name: str) -> int:
    return sum(getattr(entry, name) for entry in ledger)


def diff(source: Checkpoint, last: Checkpoint | None) -> Entry:
    """How the workspace of the last checkpoint that has a list of files differs from what it was made from."""
    before = manifests.last_listed(source)
    found: Entry = {"kind": "diff", "from": source.handle, "to": last.handle if last else None}
    if last is None or last.manifest is None:
        return {**found, "files": None}
    manifest = before.manifest if before else None
    changes = renamed(manifests.changes(manifest, last.manifest))
    found |= {"from_manifest": manifest.digest if manifest else None, "to_manifest": last.manifest.digest}
    return {**found, "files": [_change(*change) for change in changes]}


def _change(path: str, status: str, before: Entry | None, after: Entry | None) -> Entry:
    return {"path": path, "status": status, "before": _side(before), "after": _side(after)}


def _side(entry: Entry | None) -> Entry | None:
    told = ("path", "kind", "mode", "size", "sha256", "target")
    return {name: entry[name] for name in told if name in entry} if entry else None
