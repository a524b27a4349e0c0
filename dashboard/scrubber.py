"""The scrubber of a machine's page: the machine as it was at any of its checkpoints; its right end is now."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Max, Q

from checkpoints.models import Checkpoint, CheckpointQuerySet
from dashboard import checkpoint as pages
from dashboard import logs
from gateway.models import Call
from machines.keeping import moments
from machines.models import Machine

LINES_SHOWN, CALLS_SHOWN = 300, 100


@dataclass(frozen=True, slots=True)
class Scrubber:
    """`at` is the number of the checkpoint shown; `live`, one more than the last of `count`, stands for now."""

    count: int
    live: int
    at: int
    shown: Checkpoint | None

    @property
    def words(self) -> str:
        """For those who hear the control instead of seeing it."""
        return f"{self.shown.handle}, {self.shown.why}" if self.shown else "now, live"


def of(machine: Machine, asked: str) -> Scrubber | None:
    """At the number that was asked for, or its handle's; now, where there is no such checkpoint. None without any."""
    own = Checkpoint.objects.of(machine.subject)
    known = own.aggregate(count=Count("pk"), last=Max("number"))
    if not known["count"]:
        return None
    shown, live = _asked(own, asked), known["last"] + 1
    return Scrubber(known["count"], live, at=shown.number if shown else live, shown=shown)


def _asked(own: CheckpointQuerySet, asked: str) -> Checkpoint | None:
    digits = asked.rpartition("c")[2]
    if not (digits.isdecimal() and len(digits) < 9):
        return None
    found = own.select_related("manifest", "parent__manifest", "shares", "guest", "project")
    return found.filter(number=int(digits)).first()


def until(shown: Checkpoint) -> Q:
    """The calls that had been answered: it was taken when another came, or once one had asked for a tool."""
    if shown.call_number is None:
        return Q(started_at__lte=shown.created_at)
    risky = shown.trigger == Checkpoint.Trigger.RISK
    return Q(number__lte=shown.call_number) if risky else Q(number__lt=shown.call_number)


def past(machine: Machine, shown: Checkpoint) -> dict[str, Any]:
    """What the page shows instead of the present."""
    moment = moments.at(machine, shown)
    lines = list(machine.log.filter(pk__lte=moment.log_until).order_by("-id")[:LINES_SHOWN])[::-1]
    calls = Call.objects.filter(until(shown), machine=machine).order_by("-number")
    told = pages.differences(shown.parent, shown) if shown.parent else {}
    return {
        "moment": moment,
        "past_log": logs.shown(lines),
        "past_calls": list(calls[:CALLS_SHOWN])[::-1],
        "past_changes": told.get("changes", []),
        "past_more": told.get("more_changes", 0),
        "past_problem": told.get("problem", ""),
        "branching": shown.branching,
    }
