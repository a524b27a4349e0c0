"""What the hub sees to about budgets: periods that begin, warnings on the way to the end, and housekeeping.

Holds and charges only count; nothing is said while a call is on its way. What is to be said is found here afterwards.
"""

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from django.db import connection, transaction
from django.db.models import F, QuerySet, Sum
from django.utils import timezone

from budgets import ledger, limits, sentences
from budgets.models import Window
from budgets.resources import Period

# How many holders' rows are locked at once.
LOCKED_AT_ONCE = 100
FORGOTTEN_AT_ONCE = 5_000
_PASSED = """
SELECT w.id, max(mark) FROM budgets_window w JOIN budgets_budget b ON b.id = w.budget_id, unnest(b.marks) AS mark
WHERE w.closed_at IS NULL AND b.period <> 'minute' AND w.spent + w.overrun > 0 AND mark > w.warned
  AND 100 * (w.spent + w.overrun)::numeric >= mark * w."limit"::numeric
GROUP BY w.id ORDER BY w.id
"""


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over the open budgets of one resource."""

    resource: str
    limit: int
    reserved: int
    spent: int
    overrun: int


@dataclass(frozen=True, slots=True)
class Invariant:
    """What must always hold, as figures: `violations` counts windows with spent + reserved > limit, and is 0."""

    violations: int
    windows: int
    totals: list[Total]


def watch(now: datetime | None = None) -> None:
    """Begin the periods that are due, and say what has been reached since the last time."""
    begin_periods(now or timezone.now())
    warn()
    tell_overruns()


def tend() -> None:
    """Forget holds and minutes that ended long ago, and see that the ledger has its next partitions."""
    ledger.prune()
    forget_minutes()
    ledger.make_partitions()


def forget_minutes() -> int:
    """Forget balances of past minutes, so many at a time: there is one for each in which something was called.

    Their entries stay. They are kept as long as a hold on them may still be settled. Returns how many.
    """
    old = Window.objects.filter(budget__period=Period.MINUTE, closed_at__lt=timezone.now() - ledger.KEPT)
    batch = list(
        old.filter(reserved=0, overrun=F("overrun_told")).values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]
    )
    return Window.objects.filter(pk__in=batch).delete()[0] if batch else 0


def begin_periods(now: datetime) -> int:
    """Close what is over and open what comes next; returns for how many holders.

    A call does the same for its own budgets, so that it need not wait for this. Minutes are left to calls.
    """
    over = Window.objects.open().filter(ends_at__lte=now).exclude(budget__period=Period.MINUTE)
    holders = iter(sorted(set(over.values_list("holder", flat=True))))
    done = 0
    while some := list(islice(holders, LOCKED_AT_ONCE)):
        with transaction.atomic():
            limits.lock(some)
        done += len(some)
    return done


def warn() -> int:
    """Say which marks were passed, each once in a period; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(_PASSED)
        passed = cursor.fetchall()
    return sum(_warn(window_id, mark) for window_id, mark in passed)


def tell_overruns() -> int:
    """Say what was used beyond every bound; returns how many windows it was in."""
    return sum(_tell_overrun(window) for window in untold())


def untold() -> QuerySet[Window]:
    """Windows with an overrun that was not told of yet, or not all of it. There is an index of just those."""
    return Window.objects.exclude(overrun=F("overrun_told")).select_related("budget")


def violations() -> int:
    """How many balances break the invariant, with spent + reserved > limit. There is none."""
    return Window.objects.filter(spent__gt=F("limit") - F("reserved")).count()


def invariant() -> Invariant:
    """The figures of this very moment, read in one statement each."""
    standing = Window.objects.open().order_by("resource").values("resource")
    sums = standing.annotate(
        of_limits=Sum("limit"), held=Sum("reserved"), used=Sum("spent"), beyond=Sum("overrun")
    )
    totals = [
        Total(row["resource"], *(int(row[name]) for name in ("of_limits", "held", "used", "beyond")))
        for row in sums
    ]
    return Invariant(violations(), Window.objects.count(), totals)


@transaction.atomic
def _warn(window_id: int, mark: int) -> bool:
    if not Window.objects.filter(pk=window_id, warned__lt=mark).update(warned=mark):
        return False  # said already
    window = Window.objects.select_related("budget__project").get(pk=window_id)
    _record("budget.warning", window, mark=mark, percent=window.percent, sentence=_sentence(window))
    return True


@transaction.atomic
def _tell_overrun(window: Window) -> bool:
    told = Window.objects.filter(pk=window.pk, overrun=window.overrun, overrun_told=window.overrun_told)
    if not told.update(overrun_told=window.overrun):
        return False  # it has changed meanwhile: next time
    grown = window.overrun - window.overrun_told
    if grown > 0:  # a raised limit has paid for some of it
        _record("budget.overrun", window, by_amount=grown, overrun=window.overrun)
    return grown > 0


def _record(kind: str, window: Window, **data: Any) -> None:
    limits.tell(kind, window.budget, window=window.pk, limit=window.limit, spent=window.spent, **data)


def _sentence(window: Window) -> str:
    budget = window.budget
    limit = sentences.amount(window.limit, window.resource, budget.currency)
    per = "" if budget.period == Period.TOTAL else f" per {budget.period}"
    return f"{budget.scope} has used {window.percent} % of its {limit}{per}."
