"""The machines of one page of the list, with what other tables know of them, in a fixed number of queries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Exists, OuterRef

from checkpoints.models import Checkpoint
from dashboard.fleet import sparks
from dashboard.fleet.sparks import Spark
from gateway.models import Call
from machines.limits import enforce
from machines.models import Machine, MachineQuerySet


@dataclass(frozen=True)
class Row:
    """A machine in the list."""

    machine: Machine
    checkpoints: int
    offline: bool
    silent: bool
    spark: Spark | None

    @property
    def since(self) -> datetime:
        machine = self.machine
        return machine.ended_at or machine.run_started_at or machine.created_at


def known(machines: MachineQuerySet) -> MachineQuerySet:
    """With what `of` needs to know of each."""
    offline = Call.objects.filter(machine=OuterRef("pk"), offline=True)
    return machines.with_spending().annotate(offline=Exists(offline)).select_related("project")


def of(machines: Sequence[Machine]) -> list[Row]:
    """`machines` come from `known`."""
    left = _checkpoints(machines)
    drawn = sparks.of(machine.guest_id for machine in machines if not machine.ended)
    return [
        Row(
            machine=machine,
            checkpoints=left.get(machine.subject, 0),
            offline=getattr(machine, "offline", False),
            silent=enforce.is_silent(machine),
            spark=drawn.get(machine.guest_id),
        )
        for machine in machines
    ]


def _checkpoints(machines: Iterable[Machine]) -> dict[str, int]:
    left = Checkpoint.objects.filter(origin__in=[machine.subject for machine in machines])
    return dict(left.values_list("origin").annotate(Count("pk")).order_by())
