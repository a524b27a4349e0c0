"""What a machine asks for from inside its guest: more of a budget. Guests are not trusted: all of it is checked."""

import json
from datetime import timedelta
from typing import Any

from django.utils import timezone

from budgets import requests
from budgets.resources import Period
from events.models import Event
from gateway import calls
from gateway.errors import Refused
from machines.models import Machine
from projects.errors import Refusal

HOURLY_MAX = 20  # so that a machine cannot fill the table, nor its owner's page


def take(token: str, body: bytes) -> dict[str, Any]:
    """Take a request for more, and say how it stands; asked again while it is pending, it is changed.

    Raises `Refused` in a sentence for the agent.
    """
    machine = calls.authenticate(token)
    sent = _read(body)
    if _asked_lately(machine) >= HOURLY_MAX:
        raise Refused(
            429, "Enough requests for this hour. The owners have seen them.", retry_after_seconds=600
        )
    try:
        made = requests.ask(
            machine.project,
            _text(sent, "resource"),
            _whole(sent, "amount"),
            by=None,
            machine_id=machine.id,
            period=_text(sent, "period") or Period.TOTAL,
            reason=_text(sent, "reason"),
        )
    except Refusal as refusal:
        raise Refused(refusal.status, str(refusal)) from None
    return {"id": made.pk, "state": made.state, "scope": made.budget.scope, "amount": made.amount}


def _asked_lately(machine: Machine) -> int:
    """Also what changed a pending request: the owners hear of each."""
    since = timezone.now() - timedelta(hours=1)
    return Event.objects.filter(subject=machine.subject, kind="budget.requested", at__gte=since).count()


def _read(body: bytes) -> dict[str, Any]:
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"The request is not JSON: {error}") from None
    if not isinstance(sent, dict):
        raise Refused(400, "A request is a JSON object.")
    return sent


def _whole(sent: dict[str, Any], name: str) -> int:
    value = sent.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refused(400, f"“{name}” is a whole number.")
    return value


def _text(sent: dict[str, Any], name: str) -> str:
    """Without what JSON can say and PostgreSQL cannot keep: NUL, and halves of surrogate pairs."""
    value = sent.get(name, "")
    if not isinstance(value, str):
        raise Refused(400, f"“{name}” is a text.")
    return value.replace("\0", "\ufffd").encode(errors="replace").decode()
