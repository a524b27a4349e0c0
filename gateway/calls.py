"""A call's life in the database: admitted and paid for, answered, settled. Synchronous; nothing here is HTTP."""

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from budgets import actions as budgets
from budgets.errors import UnknownPrice
from budgets.prices import CURRENCY, OFFLINE_MODEL, Price, Usage, price_of
from events import actions as events
from gateway.dialects.base import Dialect, Request
from gateway.errors import Refused
from gateway.models import Call
from machines import actions as machines
from machines import tokens
from machines.models import Machine
from machines.payer import payer_of

logger = logging.getLogger(__name__)
OPEN = (Call.State.ADMITTED, Call.State.STREAMING)


class Crowded(Refused):
    """There is enough money, but calls under way hold it; worth another try in a moment."""

    def __init__(self, sentence: str) -> None:
        super().__init__(429, sentence, retry_after_seconds=10)


@dataclass(frozen=True, slots=True)
class Admission:
    """A call that may be made: what it may write, and what to wait for before it is answered."""

    request: Request
    machine: Machine
    call_id: UUID
    reservation_id: UUID
    price: Price
    output_tokens: int
    checkpoint_id: UUID | None
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call. Without `usage` it cost nothing; `assumed` figures are a bound."""

    state: Call.State
    usage: Usage | None = None
    assumed: bool = False
    in_full: bool = False  # nothing is known: the whole hold is spent
    status: int | None = None
    request_id: str = ""
    error: str = ""
    first_byte_ms: int | None = None
    stall_ms: int = 0


def authenticate(token: str) -> Machine:
    """The machine whose living token this is. Raises `Refused` (401)."""
    if machine := tokens.authenticate(token) if token else None:
        return machine
    raise Refused(401, "This is not the token of a living machine.")


def admit(token: str, body: bytes, dialect: Dialect) -> Admission:
    """Let a call in: hold what it may cost, number it, and have the checkpoint taken that belongs before it.

    Raises `Refused`; with 402 the machine is on its way to being paused.
    """
    machine = authenticate(token)
    request = dialect.read(body)
    admission, call = _hold(machine, request, _price(request, machine))
    try:
        checkpoint_id = _checkpoint(machine, call) if request.converses else None
    except Exception:
        conclude(
            admission, Outcome(Call.State.RELEASED, error="The gateway failed before the call was made.")
        )
        raise
    return replace(admission, checkpoint_id=checkpoint_id)


def _hold(machine: Machine, request: Request, price: Price) -> tuple[Admission, Call]:
    now, call_id = timezone.now(), uuid4()
    with transaction.atomic():
        hold = budgets.reserve_call(
            f"call:{call_id}",
            payer=payer_of(machine),
            price=price,
            input_tokens=request.input_bound(price),
            output_tokens=request.output_tokens,
            minimum_output_tokens=request.minimum_output_tokens,
            seconds=settings.GATEWAY_RESERVATION_SECONDS,
        )
        if isinstance(hold, budgets.Grant):
            # The budgets' rows are locked since, so numbers are given one at a time.
            call = _number(machine, call_id, hold, price, now)
    if isinstance(hold, budgets.Shortage):
        raise _refusal(machine, hold)
    return Admission(request, machine, call_id, hold.reservation_id, price, hold.units, None, now), call


def answering(call_id: UUID, first_byte_ms: int) -> None:
    """The provider has begun to answer."""
    admitted = Call.objects.filter(pk=call_id, state=Call.State.ADMITTED)
    admitted.update(state=Call.State.STREAMING, first_byte_ms=first_byte_ms)


@transaction.atomic
def conclude(admission: Admission, outcome: Outcome) -> None:
    """Settle the hold, and write down how the call went; what `reap` had to assume is put right."""
    cost = _settle(admission, outcome)
    usage = outcome.usage or Usage()
    Call.objects.filter(pk=admission.call_id, state__in=(*OPEN, Call.State.FAILED)).update(
        state=outcome.state,
        status=outcome.status,
        request_id=outcome.request_id[:100],
        error=outcome.error[:2000],
        input_tokens=usage.input_tokens,
        cached_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens + usage.cache_write_1h_tokens,
        output_tokens=usage.output_tokens,
        cost_micros=cost,
        first_byte_ms=outcome.first_byte_ms,
        stall_ms=outcome.stall_ms,
        duration_ms=(timezone.now() - admission.started_at) // timedelta(milliseconds=1),
    )
    events.ring("call", subject=admission.machine.subject, project_id=admission.machine.project_id)


def checkpoint_was_late(admission: Admission) -> None:
    """The answer was let go although the checkpoint before it was not ready."""
    call = Call.objects.select_related("machine").get(pk=admission.call_id)
    events.record(
        "checkpoint.late",
        subject=f"checkpoint:{admission.checkpoint_id}",
        project_id=call.machine.project_id,
        call=call.number,
        machine=call.machine.handle,
        waited_seconds=settings.GATEWAY_CHECKPOINT_HOLD_SECONDS,
    )


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


def _price(request: Request, machine: Machine) -> Price:
    """The price of what will answer: of the model asked for, or, without a key, of the offline model."""
    if machine.project.currency != CURRENCY:
        raise Refused(
            400, f"Prices are in {CURRENCY}; project {machine.project} keeps its books in another currency."
        )
    try:
        model = request.model if settings.ANTHROPIC_API_KEY else OFFLINE_MODEL
        return price_of(model, provider=request.dialect.provider)
    except UnknownPrice as error:
        raise Refused(400, str(error)) from None


def _number(machine: Machine, call_id: UUID, hold: budgets.Grant, price: Price, now: datetime) -> Call:
    last = Call.objects.filter(machine=machine).aggregate(last=Max("number"))["last"] or 0
    return Call.objects.create(
        id=call_id,
        machine=machine,
        number=last + 1,
        reservation_id=hold.reservation_id,
        model=price.model,
        offline=price.model == OFFLINE_MODEL,
        started_at=now,
    )


def _refusal(machine: Machine, shortage: budgets.Shortage) -> Refused:
    """What the agent is told. On 402 it gives up, so its machine is paused, even where others could still call.

    It would only ask for the same again; and ended instead of paused, the machine would count as failed.
    """
    if shortage.passing:
        return Crowded(shortage.sentence)
    machines.out_of_budget(machine, shortage.sentence)
    return Refused(402, shortage.sentence)


def _checkpoint(machine: Machine, call: Call) -> UUID | None:
    """Ask for the checkpoint. That it cannot be had is no reason to stop the agent, but must be seen."""
    try:
        checkpoint_id = machines.checkpoint_before_call(machine, call.number, call.id)
    except Exception:
        logger.exception("No checkpoint before call %s of machine %s", call.number, machine.handle)
        events.record(
            "checkpoint.missed", subject=machine.subject, project_id=machine.project_id, call=call.number
        )
        return None
    if checkpoint_id:
        Call.objects.filter(pk=call.pk).update(checkpoint_id=checkpoint_id)
    return checkpoint_id


def _settle(admission: Admission, outcome: Outcome) -> int:
    if outcome.in_full:
        return budgets.settle_in_full(admission.reservation_id)
    if outcome.usage is None:
        budgets.release(admission.reservation_id)
        return 0
    return budgets.settle(admission.reservation_id, outcome.usage, admission.price, assumed=outcome.assumed)
