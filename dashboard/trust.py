"""What is said of a checkpoint beside its files: whether it was proven, where it is kept, and what a return costs."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings

from checkpoints.models import Checkpoint, Effect, Verification
from checkpoints.reading import lines
from checkpoints.reading.lines import Cost
from checkpoints.states import Depth, State, Verdict
from checkpoints.triggers import effects
from checkpoints.trust import proofs
from dashboard.words import elapsed
from machines import actions
from machines.actions.proof import exporting
from machines.actions.returning import Fallback
from machines.models import Machine
from machines.states import VERBS

EFFECTS_SHOWN, PROOFS_SHOWN, SHARERS_SHOWN = 20, 20, 12
PROVEN: dict[str, str] = {
    Depth.METADATA: "its record, its snapshot and its list of files agreed",
    Depth.CONTENT: "every file was hashed again in a scratch guest",
    Depth.BOOT: "a scratch guest was started from it, and its agent could go on",
}
DEPTHS: tuple[tuple[str, str, str], ...] = (
    (Depth.METADATA, "Metadata", "Its record, its snapshot and its list of files agree. Needs no guest."),
    (Depth.CONTENT, "Content", "And every file, hashed again in a scratch guest, is as it was listed."),
    (Depth.BOOT, "Boot drill", "And a scratch guest without a network starts from it, and its agent could go on."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Return:
    """What going back to a checkpoint comes to. `cost` is None where its machine has gone another way since."""

    cost: Cost | None
    effects: list[Effect]  # that it does not undo
    more_effects: int
    fallback: Fallback | None


def view(checkpoint: Checkpoint, machine: Machine | None) -> dict[str, Any]:
    """What the page shows beside files and changes; `machine` is the one that left it."""
    holder = checkpoint.holder
    verifications = list(checkpoint.verifications.select_related("asked_by")[:PROOFS_SHOWN])
    return {
        "proven": PROVEN.get(checkpoint.proven_depth, ""),
        "evidence": _evidence(verifications, checkpoint.proven_depth),
        "verifications": verifications,
        "verifying": any(one.verdict == Verdict.REQUESTED for one in verifications),
        "holder": holder,
        "backups": bool(settings.PROXMOX_BACKUP_STORAGE),
        "exporting": not holder.backup and exporting(holder),
        "sharers": list(_sharers(checkpoint)),
        "going_back": of_return(checkpoint, machine) if machine and checkpoint.usable else None,
    }


def of_return(checkpoint: Checkpoint, machine: Machine) -> Return:
    """What the return of its machine would lose, what it would leave as it is, and what is tried if it fails."""
    line = lines.line(machine.present) if machine.present else []
    steps = next((steps for steps, one in enumerate(line) if one.pk == checkpoint.pk), None)
    own = None if steps is None else line[steps:]
    found = effects.since(checkpoint)
    listed = list(found[:EFFECTS_SHOWN])
    more = found.count() - EFFECTS_SHOWN if len(listed) == EFFECTS_SHOWN else 0
    return Return(
        cost=None if steps is None else lines.cost(line, steps),
        effects=listed,
        more_effects=more,
        fallback=actions.rollback_preview(machine, checkpoint, own).fallback,
    )


def verifying(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the question for a depth needs."""
    return {
        "checkpoint": checkpoint,
        "depths": DEPTHS,
        "left": elapsed(proofs.seconds_left(checkpoint.project)),
        "a_day": elapsed(settings.CHECKPOINT_PROOF_SECONDS_A_DAY),
    }


def takers(checkpoint: Checkpoint) -> list[Machine]:
    """The machines that a file could be put back into; the one that left the checkpoint first."""
    found = Machine.objects.filter(project=checkpoint.project_id, state__in=VERBS["restore-file"])
    return sorted(found.order_by("-number")[:50], key=lambda one: one.subject != checkpoint.origin)


def _evidence(verifications: list[Verification], depth: str) -> Verification | None:
    """The last proof that went as deep as is claimed."""
    passed = (one for one in verifications if one.verdict == Verdict.PASSED and one.depth == depth)
    return next(passed, None)


def _sharers(checkpoint: Checkpoint) -> Any:
    """Others that live in the same snapshot."""
    same = Checkpoint.objects.filter(shares=checkpoint.holder, state=State.CAPTURED).exclude(pk=checkpoint.pk)
    return same.only("handle").order_by("number")[:SHARERS_SHOWN]
