"""Rows as workers, guests and the gateway would have left them."""

import hashlib
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.utils import timezone

from budgets.limits import Holder, change_limit
from budgets.models import Budget
from checkpoints.contents import parts
from checkpoints.models import Blob, Checkpoint, Manifest
from checkpoints.states import State as CheckpointState
from gateway.models import Call
from guests.models import Guest, next_vmid
from guests.states import State as GuestState
from machines.models import LogLine, Machine, next_number
from machines.states import State
from operations.models import Operation, Status
from projects.models import Project
from tests.budgets.rows import entry


def machine(project: Project, source: Checkpoint, state: str = State.RUNNING, **also: Any) -> Machine:
    """A machine in that state, heard from just now."""
    now = timezone.now()
    guest = Guest.objects.create(
        project=project, vmid=next_vmid(), node="embedded", state=GuestState.PRESENT,
        power=Guest.Power.RUNNING, observed_at=now,
    )  # fmt: skip
    begun = state not in {State.REQUESTED, State.CLONING, State.PROVISIONING}
    values = {
        "type": "vibe",
        "prompt": "Write a fizzbuzz with tests and make them pass",
        "wall_seconds": 14_400,
        "run": uuid4(),
        "run_started_at": now - timedelta(minutes=5) if begun else None,
        "heard_at": now if begun else None,
        "ended_at": now if state in {State.TERMINATED, State.FAILED} else None,
    }
    return Machine.objects.create(
        number=next_number(), project=project, source=source, guest=guest, state=state, **values | also
    )


def checkpoint(of: Machine, files: dict[str, str] | None = None, **also: Any) -> Checkpoint:
    """The machine's next checkpoint, with those files in it."""
    number = Checkpoint.objects.of(of.subject).count() + 1
    parent = of.present or of.source
    listed = None if files is None else manifest(files)
    values = {
        "kind": Checkpoint.Kind.AUTOMATIC,
        "state": CheckpointState.CAPTURED,
        "why": f"After answer {number - 1}" if number > 1 else "Before the first call",
        "begun": number > 1,
        "changed": _changed(parent, files or {}),
    }
    made = Checkpoint.objects.create(
        project=of.project, guest=of.guest, origin=of.subject, number=number, handle=f"{of.handle}.c{number}",
        snapshot=f"c{number}", parent=parent, manifest=listed, captured_at=timezone.now(), **values | also,
    )  # fmt: skip
    Machine.objects.filter(pk=of.pk).update(present=made)
    of.present = made
    return made


def _changed(parent: Checkpoint | None, files: dict[str, str]) -> int:
    old = (
        {entry["path"]: entry["sha256"] for entry in parent.manifest.entries}
        if parent and parent.manifest
        else {}
    )
    new = {path: hashlib.sha256(content.encode()).hexdigest() for path, content in files.items()}
    return sum(old.get(path) != new.get(path) for path in old | new)


def manifest(files: dict[str, str]) -> Manifest:
    """The list of those files, and their contents."""
    entries = []
    for path, content in sorted(files.items()):
        raw = content.encode()
        digest = hashlib.sha256(raw).hexdigest()
        Blob.objects.get_or_create(
            pk=digest, defaults={"size": len(raw), "body": Blob.holding(digest, raw).body}
        )
        entries.append(
            {"path": path, "kind": "file", "mode": 0o644, "size": len(raw), "sha256": digest, "kept": True}
        )
    return parts.keep(entries, files=len(entries), size=sum(entry["size"] for entry in entries))


def call(of: Machine, *, cost_micros: int = 12_300, offline: bool = False, **also: Any) -> Call:
    """The machine's next model call, done and in the ledger."""
    number = Call.objects.filter(machine=of).count() + 1
    model = "autovibe-offline" if offline else "claude-sonnet-4-5"
    entry(of.project, timezone.now(), cost_micros, machine_id=of.id, label=model).save()
    values = {
        "state": Call.State.DONE, "input_tokens": 900, "cached_tokens": 4100, "output_tokens": 400,
        "cost_micros": cost_micros, "first_byte_ms": 640, "duration_ms": 2400, "started_at": timezone.now(),
    }  # fmt: skip
    return Call.objects.create(
        machine=of,
        number=number,
        reservation_id=uuid4(),
        model=model,
        offline=offline,
        **values | also,
    )


def log(of: Machine, *texts: str, stream: str = "out") -> None:
    """Lines that its agent printed."""
    first = of.log.count() + 1
    LogLine.objects.bulk_create(
        LogLine(machine=of, run=of.run, number=first + at, at=timezone.now(), stream=stream, text=text)
        for at, text in enumerate(texts)
    )


def stuck(of: Machine, verb: str) -> Operation:
    """Work at it that waits for an operator."""
    return Operation.objects.create(
        verb=verb, subject=of.subject, project=of.project, lock=of.guest.subject, task="x",
        status=Status.NEEDS_OPERATOR, error="run: qm unlock 8",
    )  # fmt: skip


def budget(
    project: Project,
    limit_micros: int = 20_000_000,
    spent_micros: int = 0,
    reserved_micros: int = 0,
    **options: Any,
) -> Budget:
    """The project's money."""
    holder = options.pop("holder", Holder.of_project(project))
    made = change_limit(holder, "money", limit_micros, by=None, **options)
    made.windows.update(spent=spent_micros, reserved=reserved_micros)
    return made
