"""What waits for a person, and why: machines, requests for more, and transfers."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import (
    Case,
    CharField,
    Exists,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    UUIDField,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, Concat, Substr
from django.utils import timezone

from budgets.models import BudgetRequest, Transfer
from events import actions as events
from events.models import Event
from guests.models import Guest
from machines.limits.enforce import SILENT_AFTER
from machines.models import Machine, MachineQuerySet
from machines.states import LIVE, State
from operations.models import Operation
from projects.errors import Conflict
from projects.models import Project, User

# A failure that nobody acted upon for a day is history; it stays in the list.
FAILURE_FRESH_FOR = timedelta(days=1)
ACKNOWLEDGED = "machine.acknowledged"
# A person who paused a machine knows.
UNASKED = [Machine.PausedFor.BUDGET, Machine.PausedFor.BREAKER, Machine.PausedFor.GUEST]


def condition() -> Q:
    """What holds of a machine that needs somebody, for whatever filters or sorts machines."""
    now = timezone.now()
    stuck = Operation.objects.needing_operator().filter(subject__startswith="machine:")
    # Few operations are, so their machines are looked up, and not the operations of each machine.
    theirs = stuck.annotate(machine=Cast(Substr("subject", len("machine:") + 1), UUIDField()))
    seen = Event.objects.filter(
        kind=ACKNOWLEDGED, subject=subject_of(OuterRef("pk")), at__gte=OuterRef("ended_at")
    )
    return (
        (Q(state=State.FAILED, ended_at__gt=now - FAILURE_FRESH_FOR) & ~Exists(seen))
        | Q(state=State.PAUSED, paused_for__in=UNASKED)
        | Q(state=State.RUNNING, heard_at__lt=now - SILENT_AFTER)
        | (Q(state__in=LIVE) & ~Q(guest__drift=[]))
        | Q(pk__in=theirs.values("machine"))
    )


def attention(machines: MachineQuerySet) -> MachineQuerySet:
    """Those that failed lately, were paused by a limit, a breaker or a loss of power, are silent, or need an operator.

    The longest waiting first.
    """
    stuck = Operation.objects.needing_operator().filter(subject=subject_of(OuterRef("pk")))
    paused = Case(When(state=State.PAUSED, then="paused_at"))  # it is kept when the machine goes on
    return (
        machines.annotate(
            operator=Subquery(stuck.values("error")[:1]),
            operation=Subquery(stuck.values("pk")[:1]),
            stuck_at=Subquery(stuck.values("created_at")[:1]),
        )
        .filter(condition())
        .order_by(Coalesce("ended_at", paused, "stuck_at", "heard_at", "created_at"))
    )


def acknowledge(machine: Machine, *, by: User) -> bool:
    """Somebody has seen the failure: it needs nobody any more. False when that was known. Raises `Conflict`."""
    if machine.state != State.FAILED:
        raise Conflict(
            f"{machine.handle} is {machine.get_state_display().lower()}: there is no failure to acknowledge."
        )
    known = Event.objects.filter(kind=ACKNOWLEDGED, subject=machine.subject, at__gte=machine.ended_at)
    if known.exists():
        return False
    events.record(
        ACKNOWLEDGED,
        subject=machine.subject,
        project_id=machine.project_id,
        by=by.username,
        handle=machine.handle,
    )
    return True


def subject_of(key: OuterRef) -> Concat:
    """The subject of the machine with that key, in SQL."""
    return Concat(Value("machine:"), Cast(key, CharField()))


def since(machine: Machine) -> datetime:
    """Since when it has been waiting, as `attention` sorts it."""
    paused = machine.paused_at if machine.state == State.PAUSED else None
    stuck = getattr(machine, "stuck_at", None)  # its guest may be heard from all the time
    return machine.ended_at or paused or stuck or machine.heard_at or machine.created_at


def requests(user: User | AnonymousUser) -> QuerySet[BudgetRequest]:
    """What an owner has to decide. A machine that asks because it was paused is listed itself."""
    managed = Project.objects.permitted(user, "manage_budgets")
    pending = BudgetRequest.objects.filter(project__in=managed, state="pending", automatic=False)
    return pending.select_related("budget__project", "asked_by").order_by("pk")


def transfers(user: User | AnonymousUser) -> QuerySet[Transfer]:
    """What was proposed to an owner by another project's."""
    managed = Project.objects.permitted(user, "manage_budgets")
    pending = Transfer.objects.filter(Q(giver__in=managed) | Q(taker__in=managed), state="pending")
    return pending.exclude(proposed_for__in=managed).select_related("giver", "taker").order_by("pk")


def waiting(user: User | AnonymousUser) -> list[QuerySet[Any]]:
    """Everything that waits for this person, by kind."""
    return [attention(Machine.objects.permitted(user, "view_project")), requests(user), transfers(user)]


def why(machine: Machine) -> str:
    """The sentence beside it in the list that `attention` gives."""
    if operator := getattr(machine, "operator", ""):
        return str(operator)
    if machine.state in LIVE and machine.guest.drift:
        return str(machine.guest.drift[0])
    if machine.state == State.RUNNING and machine.guest.power == Guest.Power.UNKNOWN:
        return f"Nothing is known of its guest: node {machine.guest.node} does not answer."
    if machine.state == State.RUNNING:
        return "It has not been heard from, although it should be running. Look at its log, or roll it back."
    return machine.sentence or "It failed without saying why. Its log and events may tell."
