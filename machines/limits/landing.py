"""Landing: a machine has come to what its budget keeps back for wrapping up. The gateway tells the agent."""

from uuid import UUID

from django.db import transaction

from budgets.models import Reservation, Window
from events.models import Event
from machines.actions.begin import record
from machines.models import Machine

KIND = "machine.landing"


@transaction.atomic
def begun(machine: Machine, reservation_id: UUID) -> int:
    """A hold was granted out of the last part of a budget: say so once per machine and window; returns how often."""
    Machine.objects.select_for_update(no_key=True).get(pk=machine.pk)  # many calls may come here at once
    held = Reservation.objects.get(pk=reservation_id)
    said = 0
    for window in Window.objects.filter(pk__in=held.windows, closed_at=None).select_related("budget"):
        if _is_breached(window) and not _is_said(machine, window):
            scope, resource = window.budget.scope, window.resource
            record(machine, KIND, window=window.pk, scope=scope, resource=resource, percent=window.percent)
            said += 1
    return said


def _is_breached(window: Window) -> bool:
    return window.left < window.limit * window.landing_percent // 100


def _is_said(machine: Machine, window: Window) -> bool:
    return Event.objects.filter(subject=machine.subject, kind=KIND, data__window=window.pk).exists()
