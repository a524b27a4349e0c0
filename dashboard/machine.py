"""What a machine's page shows, gathered in a fixed number of queries."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Aggregate, Count, FloatField, Max, OuterRef, Q, Sum

from budgets import reports
from budgets.models import Window
from budgets.resources import Resource, of_machine
from checkpoints.models import Checkpoint
from checkpoints.states import State as CheckpointState
from dashboard import asking, budget, cost, expected, failure, hearing, lateness, progress, rights, words
from dashboard.logs import Window as Printed
from gateway.models import Call
from machines import types
from machines.keeping import policies
from machines.limits import enforce
from machines.models import Machine
from projects.models import User
from projects.permissions import operates_with
from projects.roles import Right

CHECKPOINTS_SHOWN = 200
POINTS_NOW = 8
CALLS_SHOWN = 100
# Buttons in this order; rolling back is offered beside each checkpoint.
BUTTONS = ("resume", "checkpoint", "pause", "terminate")


class _Median(Aggregate):
    """Of the values that are there, as the database reckons it."""

    function = "percentile_cont"
    template = "%(function)s(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()
    allow_distinct = False


@dataclass(frozen=True)
class Point:
    """A checkpoint on the machine's line."""

    checkpoint: Checkpoint
    present: bool
    branches: list[str]  # handles
    returnable: bool


@dataclass(frozen=True)
class Totals:
    """Of all calls of a machine, not only of those shown: sums, what one usually takes, and the one that is open."""

    calls: int
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    cost_micros: int
    stall_ms: int
    offline: int
    answered: int
    median_ms: float | None
    open_number: int | None
    open_since: datetime | None

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.cached_tokens + self.cache_write_tokens + self.output_tokens


def head(machine: Machine, user: User) -> dict[str, Any]:
    """What every view of the machine shows."""
    held = rights.of(machine.project, user)
    operable = operates_with(held, user, machine)
    return {
        "machine": machine,
        "type": _type_title(machine.type),
        "silent": enforce.is_silent(machine),
        "operable": operable,
        "spawns": Right.SPAWN in held,
        "manages": Right.BUDGETS in held,
        "audits": Right.READ_AUDIT in held,
        "verbs": [verb for verb in BUTTONS if verb in machine.verbs] if operable else [],
        "asks": asking.of(machine) if operable else [],
        "totals": totals(machine),
    }


def line(machine: Machine, *, operable: bool, shown: int | None, count: int) -> dict[str, Any]:
    """The latest of its `count` checkpoints, `shown` at most; all of them for None."""
    points = _line(machine, operable, shown=shown) if count else []
    return {
        "points": points,
        "policy": policies.summary_of(machine),
        "points_hidden": max(count - len(points), 0),
        "points_count": count,
    }


def now(
    machine: Machine, user: User, sums: Totals, *, operable: bool, count: int, log: Printed | None
) -> dict[str, Any]:
    """What is going on; `count` are its checkpoints, and `log` is what of its log the page shows, if it does."""
    doing = under_way(machine, operable=operable, count=count, log=log)
    return {
        **doing,
        "cap": _cap(machine),
        "wall_words": words.elapsed(machine.wall_seconds),
        "hearing": hearing.of(machine, user, operable=operable),
        "quiet": lateness.quiet_since(machine, log),
        "late": lateness.sentence(machine, doing["progress"], sums),
    }


def under_way(machine: Machine, *, operable: bool, count: int, log: Printed | None = None) -> dict[str, Any]:
    """What is being done with it, what it failed of, or where it can go on: told beside its earlier states as well."""
    doing, soon = progress.of(machine)
    return {
        "progress": doing,
        "ending_soon": soon if operable else None,
        "failure": failure.of(machine, doing, log),
        **line(machine, operable=operable, shown=POINTS_NOW, count=count),
    }


def spent(machine: Machine, sums: Totals, until: Q | None = None) -> dict[str, Any]:
    """What it cost, was expected to, and may; `until` are the calls that count."""
    asked = Call.objects.filter(until or Q(), machine=machine)
    limits = budget.of_machine_page(machine)
    return {
        "models": cost.by_model(asked),
        "calls": list(asked.order_by("-number")[:CALLS_SHOWN])[::-1],
        "expected": expected.of_machine(machine, sums),
        "lines": limits,
        **budget.chart(limits),
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
    answered = Q(state=Call.State.DONE, duration_ms__isnull=False)
    is_open = Q(state__in=[Call.State.ADMITTED, Call.State.STREAMING])
    sums = Call.objects.filter(until or Q(), machine=machine).aggregate(
        calls=Count("pk"),
        offline=Count("pk", filter=Q(offline=True)),
        answered=Count("pk", filter=answered),
        median_ms=_Median("duration_ms", filter=answered),
        open_number=Max("number", filter=is_open),
        open_since=Max("started_at", filter=is_open),
        **{name: Sum(name, default=0) for name in names},
    )
    return Totals(**sums)


def _type_title(name: str) -> str:
    try:
        return types.get(name).title
    except LookupError:
        return name  # its file is gone; the machine stays


def _line(machine: Machine, operable: bool, *, shown: int | None) -> list[Point]:
    """The machine's checkpoints, newest last, with the machines that were spawned from each. One query."""
    branches = Machine.objects.filter(source=OuterRef("pk")).order_by("number").values("number")
    # A manifest's body is the whole list of files: not needed here, and long.
    left = (
        Checkpoint.objects.of(machine.subject)
        .select_related("manifest", "shares")
        .defer("manifest__parts")
        .annotate(branch_numbers=ArraySubquery(branches))
    )
    may_return = operable and "rollback" in machine.verbs
    return [
        Point(
            checkpoint=checkpoint,
            present=checkpoint.pk == machine.present_id,
            branches=[f"m{number}" for number in vars(checkpoint)["branch_numbers"]],
            returnable=may_return and can_return(machine, checkpoint),
        )
        for checkpoint in left.order_by("-number")[:shown]
    ][::-1]


def can_return(machine: Machine, checkpoint: Checkpoint) -> bool:
    """Whether the machine could be rolled back to it: its own, and taken well."""
    return checkpoint.state == CheckpointState.CAPTURED and checkpoint.guest_id == machine.guest_id
