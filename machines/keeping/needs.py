"""What is known of a project's checkpoints, and what machines, operations and proofs need of them now. Reads only."""

from collections.abc import Iterator
from uuid import UUID

from django.db.models import Q

from checkpoints.keeping.pruning import VERB as PRUNING
from checkpoints.keeping.retention import Known
from checkpoints.models import Checkpoint, Verification
from checkpoints.states import State as CheckpointState
from checkpoints.states import Verdict
from events.models import Event
from guests.models import Guest, Storage
from guests.states import EXISTING
from machines.models import Machine
from machines.states import SPAWNING
from operations.models import Operation
from projects.models import Project

Kind, Trigger = Checkpoint.Kind, Checkpoint.Trigger


def known_of(project: Project, guest: Guest | None = None) -> list[Known]:
    """Every checkpoint of the project, or of the lines that have any in this guest."""
    found = Checkpoint.objects.filter(project=project).only(*_FIELDS)
    if guest:
        found = found.filter(origin__in=Checkpoint.objects.filter(guest=guest).values("origin"))
    broke = _when_broken(project)
    return [_known(checkpoint, broke) for checkpoint in found]


_FIELDS = (
    "id", "handle", "origin", "number", "state", "kind", "trigger", "captured_at", "created_at", "shares",
    "parent", "pinned", "proven_depth", "name",
)  # fmt: skip


def _known(checkpoint: Checkpoint, broke: dict[str, Event]) -> Known:
    broken = broke.get(checkpoint.subject)
    return Known(
        id=checkpoint.id,
        handle=checkpoint.handle,
        line=checkpoint.origin,
        number=checkpoint.number,
        state=CheckpointState(checkpoint.state),
        at=broken.at if broken else checkpoint.captured_at or checkpoint.created_at,
        holder=checkpoint.shares_id or checkpoint.id,
        parent=checkpoint.parent_id,
        genesis=checkpoint.kind == Kind.GENESIS,
        pinned=checkpoint.pinned,
        proven=checkpoint.proven,
        milestone=_milestone(checkpoint),
    )


def _when_broken(project: Project) -> dict[str, Event]:
    broken = Checkpoint.objects.filter(project=project, state=CheckpointState.BROKEN)
    subjects = [checkpoint.subject for checkpoint in broken.only("id")]
    told = Event.objects.filter(subject__in=subjects, kind="checkpoint.broken").order_by("id")
    return {event.subject: event for event in told}


def _milestone(checkpoint: Checkpoint) -> str:
    """Why somebody cares for it; "" for one that nobody does."""
    if checkpoint.name:
        return f"“{checkpoint.name}”"
    if checkpoint.trigger == Trigger.RISK:
        return "before something risky"
    if checkpoint.milestone:
        return "final" if checkpoint.kind == Kind.FINAL else "asked for"
    return ""


def needs_of(project: Project, guest: Guest | None = None) -> dict[UUID, str]:
    """Checkpoints, of this guest if one is named, that something works with now: why each must stay."""
    needs: dict[UUID, str] = {}
    # Operations before machines: what a restore went back to is its machine's present before the restore has ended.
    for found in (
        _of_operations(project),
        _of_proofs(project),
        _of_machines(project, guest),
        _of_clones(project),
    ):
        for key, why in found:
            needs.setdefault(key, why)
    return needs


def _of_operations(project: Project) -> Iterator[tuple[UUID, str]]:
    for operation in Operation.objects.active().filter(project=project).exclude(verb=PRUNING):
        for value in operation.arguments.values():
            if key := _uuid(value):
                yield key, f"an operation under way needs it: {operation.verb.replace('_', ' ')}"


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _of_proofs(project: Project) -> Iterator[tuple[UUID, str]]:
    asked = Verification.objects.filter(checkpoint__project=project, verdict=Verdict.REQUESTED)
    for verification in asked:
        yield verification.checkpoint_id, "it is being verified"


def _of_machines(project: Project, guest: Guest | None) -> Iterator[tuple[UUID, str]]:
    live = Machine.objects.live().filter(project=project)
    if guest:
        live = live.filter(Q(guest=guest) | Q(source__guest=guest) | Q(present__guest=guest))
    for machine in live:
        if machine.present_id:
            yield machine.present_id, f"{machine.handle} goes on from it"
        made = "is being made from it" if machine.state in SPAWNING else "was branched from it and goes on"
        yield machine.source_id, f"{machine.handle} {made}"


def _of_clones(project: Project) -> Iterator[tuple[UUID, str]]:
    """Where a snapshot cannot be deleted while linked clones of it are there: those that have any."""
    holding = [one for one in Storage.objects.all() if one.abilities("").holds_clones]
    if not holding:
        return
    on = Q(*(Q(storage=one.name, node=one.node) for one in holding), _connector=Q.OR)
    made = Guest.objects.filter(on, project=project, state__in=EXISTING, template=False)
    for machine in Machine.objects.filter(guest__in=made).select_related("source", "guest"):
        yield machine.source.holder.id, f"the disk of VM {machine.guest.vmid} hangs on it"
    for proof in Verification.objects.filter(scratch__in=made).select_related("checkpoint", "scratch"):
        assert proof.scratch
        yield proof.checkpoint.holder.id, f"the disk of VM {proof.scratch.vmid} hangs on it"
