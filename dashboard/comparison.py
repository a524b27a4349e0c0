"""What the comparison of two checkpoints shows: both since they parted, and every file that either changed."""

from typing import Any

from checkpoints.models import Checkpoint
from checkpoints.reading import compare
from checkpoints.states import State
from machines.models import Machine
from projects.errors import Refusal

TIPS_SHOWN = 30
STATUSES: dict[str, tuple[str, str]] = {  # words, tone
    compare.CONFLICT: ("differently on both", "warn"),
    compare.SAME: ("alike on both", "ok"),
    compare.HERE: ("only here", "info"),
    compare.THERE: ("only there", "snap"),
}


def view(here: Checkpoint, there: Checkpoint, beyond: str = "") -> dict[str, Any]:
    """`problem` is the sentence why they cannot be compared."""
    context: dict[str, Any] = {"here": here, "there": there, "statuses": STATUSES}
    try:
        found = compare.compare(here, there, beyond=beyond, git=False)
    except Refusal as refusal:
        return context | {"problem": str(refusal)}
    totals = [(*STATUSES[status], found.totals[status]) for status in STATUSES]
    return context | {"found": found, "totals": totals, "sides": (found.here, found.there)}


def tips(checkpoint: Checkpoint) -> list[Checkpoint]:
    """Where the project's other machines are: what one may want to compare with."""
    present = Machine.objects.filter(project=checkpoint.project_id).exclude(present=None).order_by("-number")
    ends = Checkpoint.objects.filter(pk__in=present.values("present")[:TIPS_SHOWN], state=State.CAPTURED)
    return list(ends.exclude(pk=checkpoint.pk).only("handle", "why", "name").order_by("-created_at"))
