"""The tree of a project's checkpoints with the machines that its lanes belong to. Queries only."""

from collections.abc import Iterable
from dataclasses import dataclass

from checkpoints.reading.tree import Lane
from machines.models import Machine


@dataclass(frozen=True, slots=True)
class MachineLane:
    """A lane, and the machine that left it; a genesis' has none."""

    lane: Lane
    machine: Machine | None


def with_machines(lanes: Iterable[Lane]) -> list[MachineLane]:
    """The lanes with their machines, in one query."""
    lanes = list(lanes)
    ids = {one.origin.partition(":")[2] for one in lanes if one.origin.startswith("machine:")}
    known = {machine.subject: machine for machine in Machine.objects.filter(pk__in=ids)}
    return [MachineLane(lane, known.get(lane.origin)) for lane in lanes]
