"""What people may ask of recorded calls: keep them or not, read them, replay them. Callers check rights."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F

from events import actions as events
from gateway import record, recordings
from gateway.models import Call, Recording, RecordingPolicy
from gateway.record import Bodies
from gateway.recordings import Policy
from gateway.secrets import Unreadable
from machines import actions as machines
from machines.models import Machine
from machines.modifications import Modification
from projects.errors import Conflict, NotThere
from projects.models import Project, User

DAYS_MAX = 3650


@transaction.atomic
def set_recording(project: Project, *, mode: str, days: int | None, by: User) -> Policy:
    """Keep the bodies of a project's calls from now on: off, redacted or full. What is kept already goes no later."""
    before = recordings.policy_of(project.id)
    kept = before.days if days is None else days
    RecordingPolicy.objects.update_or_create(project=project, defaults={"mode": mode, "days": kept})
    late = Recording.objects.filter(
        call__machine__project=project, expires_at__gt=F("recorded_at") + timedelta(days=kept)
    )
    late.update(expires_at=F("recorded_at") + timedelta(days=kept))
    events.record(
        "recording.set",
        subject=project.subject,
        project_id=project.id,
        by=by.username,
        before={"mode": before.mode, "days": before.days},
        mode=mode,
        days=kept,
    )
    return Policy(mode, kept)


def call_of(machine: Machine, number: int) -> Call:
    """The machine's call of that number. Raises `NotThere`."""
    found = Call.objects.filter(machine=machine, number=number).select_related(
        "recording", "replayed__original"
    )
    if call := found.first():
        return call
    raise NotThere(f"Machine {machine.handle} made no call {number}.")


def read(call: Call, *, by: User) -> Bodies:
    """What was said in a call; that it was read is recorded. Raises `NotThere` and `Conflict`."""
    recording = Recording.objects.filter(call=call).select_related("call").first()
    machine = call.machine
    if recording is None:
        raise NotThere(f"Call {call.number} of {machine.handle} is not recorded, or is not kept any more.")
    try:
        bodies = record.opened(recording)
    except Unreadable as error:
        raise Conflict(str(error)) from None
    events.record(
        "recording.read",
        subject=machine.subject,
        project_id=machine.project_id,
        by=by.username,
        handle=machine.handle,
        call=call.number,
    )
    return bodies


def replay(machine: Machine, *, by: User, lenient: bool = False, paced: bool = False) -> Machine:
    """Spawn a machine that starts as this one did and is answered from its record. A replay's replay is the first's.

    Raises `Conflict` where the record has gaps or cannot be read, and what spawning raises.
    """
    original = machine.replays or machine
    _require_record(original)
    return machines.spawn(
        project=original.project,
        source=original.source,
        type_name=original.type,
        prompt=original.prompt,
        by=by,
        modifications=[_modification(one) for one in original.files.all()],
        model=original.model,
        wall_seconds=original.wall_seconds,
        network=original.network,
        replay=machines.Replay(original, lenient=lenient, paced=paced),
    )


def _require_record(machine: Machine) -> None:
    if not machine.ended:
        sentence = f"Machine {machine.handle} has not ended yet; then its run can be replayed."
        raise Conflict(sentence, state=machine.state, possible=machine.verbs)
    if gap := record.missing(machine):
        raise Conflict(
            f"Call {gap.number} of {machine.handle} is not in the record: it was not recorded (bin/autovibe project "
            f"recording {machine.project.slug}), it was too large, or its time is over."
        )
    first = record.replayable(machine).first()
    if first is None:
        raise Conflict(f"Machine {machine.handle} had no answer from a model, so there is nothing to replay.")
    try:
        record.opened(first)
    except Unreadable as error:
        raise Conflict(str(error)) from None


def _modification(one: Any) -> Modification:
    return Modification(one.path, bytes(one.content), one.mode, one.removes)
