"""What projects achieve with their money: machines that did what they were asked, by what all of them cost.

Few machines say little, so that each project is thought to be like the others until its own say otherwise: its factor
is the mean of a gamma distribution whose prior is `PRIOR` successes at the common rate.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import Count, Exists, OuterRef
from django.utils import timezone

from budgets import reports, sharing
from budgets.models import LedgerEntry
from machines.models import Machine
from machines.states import State

PAST = timedelta(days=14)
PRIOR = 5
LEAST, MOST = Decimal("0.50"), Decimal("2.00")


def deal() -> int:
    """Deal out the pools that are due; returns how many."""
    return sharing.deal(measure)


def measure(projects: Collection[UUID], now: datetime | None = None) -> dict[UUID, Decimal]:
    """How much more than usual among them each project's money achieves: 0.5 to 2, and 1 where nothing is known."""
    until = now or timezone.now()
    used = reports.breakdown(projects, since=until - PAST, until=until).projects
    spent = {key: used[key].micros if key in used else 0 for key in projects}
    succeeded = _succeeded(projects, until - PAST, until)
    rate = sum(succeeded.values()) / sum(spent.values()) if sum(spent.values()) > 0 else 0
    return {key: _factor(succeeded.get(key, 0), rate * spent[key]) for key in projects}


def _factor(succeeded: int, expected: float) -> Decimal:
    factor = Decimal((succeeded + PRIOR) / (max(expected, 0.0) + PRIOR)).quantize(Decimal("0.01"))
    return min(max(factor, LEAST), MOST)


def _succeeded(projects: Collection[UUID], since: datetime, until: datetime) -> dict[UUID, int]:
    """What cost nothing is no achievement of money: scripts, replays and free models do not count."""
    paid = LedgerEntry.objects.filter(machine_id=OuterRef("pk"), micros__gt=0)
    good = Machine.objects.filter(
        Exists(paid),
        project__in=projects,
        state=State.TERMINATED,
        exit_code=0,
        ended_at__gt=since,
        ended_at__lte=until,
    )
    return dict(good.order_by().values_list("project").annotate(Count("pk")))
