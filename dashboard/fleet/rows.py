"""The machines of one page of the list, with what other tables know of them, in a fixed number of queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Exists, OuterRef, Subquery
from django.db.models.functions import Coalesce

from checkpoints.models import Checkpoint
from dashboard import needs
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
    left = Checkpoint.objects.filter(origin=needs.subject_of(OuterRef("pk"))).order_by().values("origin")
    counted = Coalesce(Subquery(left.annotate(many=Count("pk")).values("many")), 0)
    found = machines.with_spending().annotate(offline=Exists(offline), left=counted)
    return found.select_related("project")


def of(machines: Sequence[Machine]) -> list[Row]:
    """`machines` come from `known`."""
    drawn = sparks.of(machine.guest_id for machine in machines if not machine.ended)
    return [
        Row(
            machine=machine,
            checkpoints=getattr(machine, "left", 0),
            offline=getattr(machine, "offline", False),
            silent=enforce.is_silent(machine),
            spark=drawn.get(machine.guest_id),
        )
        for machine in machines
    ]
