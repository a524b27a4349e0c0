"""What a machine's page shows, gathered in a fixed number of queries."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, Sum

from budgets import reports
from budgets.models import Window
from budgets.resources import Resource, of_machine
from checkpoints.models import Checkpoint
from checkpoints.states import State as CheckpointState
from dashboard import asking, budget, cost, expected, hearing, lateness, progress, words
from gateway.models import Call
from machines import types
from machines.keeping import policies
from machines.limits import enforce
from machines.models import Machine
from machines.states import State
from operations.models import Operation, Status
from projects.models import User
from projects.permissions import operates
from projects.roles import Right

CHECKPOINTS_SHOWN = 200
POINTS_NOW = 8
CALLS_SHOWN = 100
# Buttons in this order; rolling back is offered beside each checkpoint.
BUTTONS = ("resume", "checkpoint", "pause", "terminate")


@dataclass(frozen=True)
class Point:
    """A checkpoint on the machine's line."""

    checkpoint: Checkpoint
    present: bool
    branches: list[Machine]
    returnable: bool


@dataclass(frozen=True)
class Totals:
    """Sums over all calls of a machine, not only over those shown."""

    calls: int
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    cost_micros: int
    stall_ms: int
    offline: int

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.cached_tokens + self.cache_write_tokens + self.output_tokens


def head(machine: Machine, user: User) -> dict[str, Any]:
    """What every view of the machine shows."""
    operable = operates(user, machine)
    return {
        "machine": machine,
        "type": _type_title(machine.type),
        "silent": enforce.is_silent(machine),
        "operable": operable,
        "spawns": user.has_perm(f"projects.{Right.SPAWN}", machine.project),
        "verbs": [verb for verb in BUTTONS if verb in machine.verbs] if operable else [],
        "asks": asking.of(machine) if operable else [],
        "totals": totals(machine),
    }


def line(machine: Machine, *, operable: bool, shown: int | None) -> dict[str, Any]:
    """Its latest checkpoints, `shown` at most; all of them for None."""
    points, hidden = _line(machine, operable, shown=shown)
    return {
        "points": points,
        "policy": policies.summary_of(machine),
        "points_hidden": hidden,
        "points_count": len(points) + hidden,
    }


def now(machine: Machine, user: User, *, operable: bool) -> dict[str, Any]:
    """What is going on; the log has a context of its own."""
    doing = progress.under_way(machine) or _broken(machine)
    return {
        "progress": doing,
        **line(machine, operable=operable, shown=POINTS_NOW),
        "cap": _cap(machine),
        "wall_words": words.elapsed(machine.wall_seconds),
        "hearing": hearing.of(machine, user, operable=operable),
        "quiet": lateness.quiet_since(machine),
        "late": lateness.sentence(machine, doing),
    }


def spent(machine: Machine, user: User, sums: Totals, until: Q | None = None) -> dict[str, Any]:
    """What it cost, was expected to, and may; `until` are the calls that count."""
    asked = Call.objects.filter(until or Q(), machine=machine)
    limits = budget.of_machine_page(machine)
    return {
        "models": cost.by_model(asked),
        "calls": list(asked.order_by("-number")[:CALLS_SHOWN])[::-1],
        "expected": expected.of_machine(machine, sums),
        "lines": limits,
        **budget.chart(limits),
        "manages": user.has_perm("projects.manage_budgets", machine.project),
    }


def _cap(machine: Machine) -> Window | None:
    found = reports.of_holders([of_machine(machine.id)])
    return next((window for window in found if window.resource == Resource.MONEY), None)


def totals(machine: Machine, until: Q | None = None) -> Totals:
    """What the machine's calls add up to; or those of them that `until` picks."""
    names = (
        "input_tokens",
        "cached_tokens",
        "cache_write_tokens",
        "output_tokens",
        "cost_micros",
        "stall_ms",
    )
    sums = Call.objects.filter(until or Q(), machine=machine).aggregate(
        calls=Count("pk"),
        offline=Count("pk", filter=Q(offline=True)),
        **{name: Sum(name, default=0) for name in names},
    )
    return Totals(**sums)


def _type_title(name: str) -> str:
    try:
        return types.get(name).title
    except LookupError:
        return name  # its file is gone; the machine stays


def _broken(machine: Machine) -> progress.Progress | None:
    """The operation that a failed machine failed at."""
    if machine.state != State.FAILED:
        return None
    last = (
        Operation.objects.filter(subject=machine.subject)
        .exclude(verb="checkpoint")
        .order_by("-created_at")
        .first()
    )
    return progress.tell(last) if last and last.status == Status.FAILED else None


def _line(machine: Machine, operable: bool, *, shown: int | None) -> tuple[list[Point], int]:
    """The machine's checkpoints, newest last, and how many older ones are left out."""
    # A manifest's body is the whole list of files: not needed here, and long.
    left = (
        Checkpoint.objects.of(machine.subject).select_related("manifest", "shares").defer("manifest__parts")
    )
    count = left.count()
    found = list(left.order_by("-number")[:shown])[::-1]
    branches = _branches(machine)
    may_return = operable and "rollback" in machine.verbs
    points = [
        Point(
            checkpoint=checkpoint,
            present=checkpoint.pk == machine.present_id,
            branches=branches.get(checkpoint.pk, []),
            returnable=may_return and can_return(machine, checkpoint),
        )
        for checkpoint in found
    ]
    return points, count - len(found)


def can_return(machine: Machine, checkpoint: Checkpoint) -> bool:
    """Whether the machine could be rolled back to it: its own, and taken well."""
    return checkpoint.state == CheckpointState.CAPTURED and checkpoint.guest_id == machine.guest_id


def _branches(machine: Machine) -> dict[Any, list[Machine]]:
    found: dict[Any, list[Machine]] = {}
    spawned = Machine.objects.filter(source__origin=machine.subject).only("number", "source_id")
    for branch in spawned.order_by("number"):
        found.setdefault(branch.source_id, []).append(branch)
    return found
