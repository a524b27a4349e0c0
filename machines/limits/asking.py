"""Machines that were paused for want of budget ask for more by themselves, and no longer once they go on or end."""

import contextlib

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from budgets import requests
from budgets.models import BudgetRequest
from machines.limits.payer import payer_of
from machines.models import Machine
from machines.states import ENDED, State
from projects.errors import Conflict, Refusal

PENDING = BudgetRequest.State.PENDING


def mind() -> None:
    """Ask for whoever waits and has not asked since it was paused; take back what has become pointless.

    What is to be done is read from the database. So nothing of it can keep a machine from being paused, and nobody is
    asked again who said no.
    """
    for machine in _silent():
        with contextlib.suppress(Refusal):  # its limit was lifted meanwhile
            requests.ask_for_shortage(payer_of(machine), machine.awaiting, reason=machine.sentence)
    for request in _pointless():
        with contextlib.suppress(Conflict):  # somebody else was faster
            requests.withdraw(request, by=None)


def _silent() -> QuerySet[Machine]:
    asked = BudgetRequest.objects.filter(
        Q(state=PENDING) | Q(created_at__gte=OuterRef("paused_at")), machine_id=OuterRef("pk")
    )
    waiting = Machine.objects.filter(
        ~Exists(asked), state=State.PAUSED, paused_for=Machine.PausedFor.BUDGET, paused_at__isnull=False
    )
    return waiting.exclude(awaiting={}).select_related("project")


def _pointless() -> QuerySet[BudgetRequest]:
    machine = Machine.objects.filter(pk=OuterRef("machine_id"))
    pending = BudgetRequest.objects.filter(state=PENDING, machine_id__isnull=False).select_related("budget")
    pending = pending.annotate(
        machine_state=Subquery(machine.values("state")), paused_for=Subquery(machine.values("paused_for"))
    )
    goes_on = Q(automatic=True) & ~Q(paused_for=Machine.PausedFor.BUDGET)
    return pending.filter(Q(machine_state__in=ENDED) | goes_on)
