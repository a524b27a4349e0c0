"""Machines and checkpoints with files, as captures leave them, without a guest that is captured."""

import hashlib
from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from checkpoints import actions
from checkpoints.contents import garbage, parts
from checkpoints.keeping import pruning
from checkpoints.models import Blob, Checkpoint, Manifest
from checkpoints.states import State
from guests.models import Guest
from guests.states import State as GuestState
from machines import actions as machines
from machines.models import Machine
from machines.states import State as MachineState
from operations import engine
from operations.models import Operation, Status
from projects.models import Project, User

# Rules that keep nothing, and the last one only.
NOTHING = {"keep_last": 0, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "milestones": False}
LAST = NOTHING | {"keep_last": 1}


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@garbage.captures_at_work()
def manifest_of(files: Mapping[str, bytes]) -> Manifest:
    blobs = [Blob.holding(sha(content), content) for content in files.values()]
    Blob.objects.bulk_create(blobs, ignore_conflicts=True)
    entries = [
        {"path": path, "kind": "file", "mode": 0o644, "size": len(content), "sha256": sha(content), "mtime_ns": 1,
         "kept": True}
        for path, content in sorted(files.items())
    ]  # fmt: skip
    return parts.keep(entries, files=len(entries), size=sum(map(len, files.values())))


def machine_of(project: Project, source: Checkpoint, alice: User, state: MachineState) -> Machine:
    """A machine in that state, as if it had been spawned; what that would have begun is over."""
    machine = machines.spawn(project=project, source=source, type_name="shell", prompt="x", by=alice)
    over()
    ended = timezone.now() if state in (MachineState.TERMINATED, MachineState.FAILED) else None
    Machine.objects.filter(pk=machine.pk).update(state=state, ended_at=ended)
    Guest.objects.filter(pk=machine.guest_id).update(state=GuestState.PRESENT, disk_bytes=8 * 10**9)
    return Machine.objects.select_related("guest", "project", "source", "present").get(pk=machine.pk)


def over() -> None:
    """Everything that is under way has ended."""
    Operation.objects.active().update(status=Status.SUCCEEDED, finished_at=timezone.now())


def take(machine: Machine, files: Mapping[str, bytes] | None = None, **more: Any) -> Checkpoint:
    """A captured checkpoint of the machine, on top of its present; it has no snapshot that Proxmox would know."""
    machine.refresh_from_db()
    checkpoint = actions.prepare(
        project=machine.project,
        guest=machine.guest,
        origin=machine.subject,
        name=machine.handle,
        kind=more.pop("kind", Checkpoint.Kind.AUTOMATIC),
        why="",
        parent=machine.present or machine.source,
    )
    more = {"snapshot": "", "manifest": manifest_of(files or {}), **more}
    Checkpoint.objects.filter(pk=checkpoint.pk).update(**more)
    Machine.objects.filter(pk=machine.pk).update(present=checkpoint)
    checkpoint.refresh_from_db()
    checkpoint.move(State.CAPTURED, captured_at=timezone.now())
    return checkpoint


def work() -> int:
    """Workers delete what goes, until there is no more; returns how much that was."""
    done = 0
    while operation := Operation.objects.filter(verb=pruning.VERB, status=Status.QUEUED).first():
        engine.perform(str(operation.id), pruning.PRUNE)
        done += 1
    return done


def gone(machine: Machine) -> set[int]:
    """The numbers of its checkpoints that go, or are gone."""
    found = Checkpoint.objects.of(machine.subject).filter(state__in=(State.PRUNING, State.PRUNED))
    return set(found.values_list("number", flat=True))
