"""Calls in the database, away from their way through the gateway: whose token, what was late, what was abandoned."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from budgets import actions as budgets
from events import actions as events
from gateway.admitted import Admission
from gateway.errors import Refused
from gateway.models import Call
from machines import tokens
from machines.models import Machine

OPEN = (Call.State.ADMITTED, Call.State.STREAMING)
NOT_A_TOKEN = "This is not the token of a living machine."


def authenticate(token: str) -> Machine:
    """The machine whose living token this is. Raises `Refused` (401)."""
    if machine := tokens.authenticate(token) if token else None:
        return machine
    raise Refused(401, NOT_A_TOKEN)


def checkpoint_was_late(admission: Admission, checkpoint_id: UUID, waited_seconds: float) -> None:
    """The answer, or the rest of it, was let go although the checkpoint was not ready."""
    events.record(
        "checkpoint.late",
        subject=f"checkpoint:{checkpoint_id}",
        project_id=admission.machine.project_id,
        call=admission.number,
        machine=admission.machine.handle,
        waited_seconds=round(waited_seconds, 1),
    )


def stalled(call_id: UUID, milliseconds: int) -> None:
    """The end of the answer waited, too: that was after the call was concluded."""
    Call.objects.filter(pk=call_id).update(stall_ms=milliseconds)


def reap() -> int:
    """Close calls whose gateway died under them; returns how many. Their holds, expired, were charged in full."""
    before = timezone.now() - timedelta(seconds=settings.GATEWAY_RESERVATION_SECONDS)
    budgets.reap_expired()
    abandoned = Call.objects.filter(state__in=OPEN, started_at__lt=before)
    for call in abandoned:
        cost = budgets.settle_in_full(call.reservation_id)
        Call.objects.filter(pk=call.pk, state__in=OPEN).update(
            state=Call.State.FAILED,
            cost_micros=cost,
            error="The gateway stopped during this call, so it was charged at its upper bound.",
        )
    return len(abandoned)
