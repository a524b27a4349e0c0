"""Let a call in: read it, hold what it may cost, and have the checkpoint taken that belongs before it."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings

from budgets import actions as budgets
from budgets import book, breaker
from budgets.errors import UnknownPrice
from budgets.prices import CURRENCY, FREE, OFFLINE_MODEL, Price, price_of
from gateway import database, door, keeping, sessions, waiting
from gateway.admitted import Admission, Caller, machine_of
from gateway.calls import NOT_A_TOKEN
from gateway.dialects.base import Dialect, Request
from gateway.errors import Refused
from gateway.identity import new_id
from gateway.models import Call
from gateway.settlement import Outcome, conclude
from gateway.teller import Row, teller
from gateway.upstreams import Offers, choice, registry
from machines import actions as machines
from machines import tokens
from machines.limits import landing
from machines.models import MachineToken
from machines.states import CALLING, ENDED, State
from projects.models import Project

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 30  # what a checkpoint may take; clients wait no longer than a minute
ENDING = ENDED | {State.STOPPING}


class Crowded(Refused):
    """There is enough money, but calls under way hold it, or the minute is full; worth another try in a moment."""

    def __init__(self, sentence: str, retry_after_seconds: int = 10) -> None:
        super().__init__(429, sentence, retry_after_seconds=retry_after_seconds)


async def admit(token: str, body: bytes, dialect: Dialect) -> Admission:
    """Let a call in; while calls under way hold the money, wait for them a little.

    Raises `Refused`; with 402 the machine is on its way to being paused.
    """
    request = await database.run_if_long(body, dialect.read, body)
    clock = asyncio.get_running_loop().time
    until = clock() + PATIENCE_SECONDS
    while True:
        try:
            return await _try(token, request)
        except Crowded:
            if clock() > until:
                raise
        await waiting.a_moment()


async def _try(token: str, request: Request) -> Admission:
    """One attempt. If the agent hangs up meanwhile, a hold that was just placed is given back."""
    attempt = asyncio.ensure_future(_admit(token, request))
    try:
        return await asyncio.shield(attempt)
    except asyncio.CancelledError:
        gone = Outcome(Call.State.RELEASED, error="The agent hung up before the call was made.")
        await conclude(await attempt, gone)
        raise


async def _admit(token: str, request: Request) -> Admission:
    session = MachineToken.digest_of(token)
    offers = await _offers(request, session)
    try:
        price, offers = _priced(request, offers)
        asked = await _asked(session, request, price, offline=offers.offline)
    except Refused:
        if not await database.run(tokens.replays, session):
            raise
        # It was bounded when it was recorded.
        price = Price(request.model, "", ((0, FREE),), context_window=0)
        asked = await _asked(session, request, price, offline=offers.offline)
    if not (rows := await teller().admitting.ask(asked)):
        raise Refused(401, NOT_A_TOKEN)
    door.seen(session)
    admission = await _admitted(rows[0], session, asked, request, price, offers)
    try:
        if admission.landing:
            await database.run(_landing, admission)
        wanted = request.converses and keeping.due_with_request(admission)
        checkpoint_id = await database.run(keeping.take, admission) if wanted else None
    except Exception:
        await conclude(
            admission, Outcome(Call.State.RELEASED, error="The gateway failed before the call was made.")
        )
        raise
    return replace(admission, checkpoint_id=checkpoint_id)


async def _offers(request: Request, session: str) -> Offers:
    if book.stale():
        await database.run(book.refresh)
    if registry.stale():
        return await database.run(choice.offers, request.dialect.name, request.model, whose=session)
    return choice.known_offers(request.dialect.name, request.model, whose=session)


def _priced(request: Request, offers: Offers) -> tuple[Price, Offers]:
    """The price of what will answer: of the model asked for, or, without an upstream, of the offline model.

    A model that no list knows may be one of a free upstream: then only such are asked.
    """
    try:
        price = price_of(
            OFFLINE_MODEL if offers.offline else request.model, provider=request.dialect.provider
        )
    except UnknownPrice as error:
        if not (free := [target for target in offers.targets if target.free]):
            raise Refused(400, str(error)) from None
        return Price(request.model, "", ()).free, replace(offers, targets=free)
    return (price.free if offers.free else price), offers


async def _asked(session: str, request: Request, price: Price, *, offline: bool) -> dict[str, Any]:
    bound = await database.run_if_long(request.raw, _bound, session, request, price)
    lasts = timedelta(seconds=settings.GATEWAY_RESERVATION_SECONDS)
    call_id = new_id()
    return {
        "id": call_id,
        "key": f"call:{call_id}",
        "digest": session,
        "currency": CURRENCY,
        "dialect": request.dialect.name,
        "model": price.model,
        "offline": offline,
        "label": price.model,
        "price_version": price.version,
        "needs": price.needs(bound, request.cache_writes),
        "wanted": request.output_tokens,
        "minimum": request.minimum_output_tokens,
        "expires": datetime.now(UTC) + lasts,
    }


def _bound(session: str, request: Request, price: Price) -> int:
    return request.input_bound(price, sessions.recall(session, request))


async def _admitted(
    row: Row, session: str, asked: dict[str, Any], request: Request, price: Price, offers: Offers
) -> Admission:
    """What the database said. Raises `Refused` where it said no."""
    caller = Caller(*row[1:10])
    number, reservation, units, is_landing, short, held_back = row[10:]
    if reservation is None:
        raise await _refused(caller, asked, short, held_back=held_back)
    return Admission(
        request=request,
        machine=caller,
        session=session,
        number=number,
        call_id=asked["id"],
        reservation_id=reservation,
        price=price.free if caller.replays_id else price,
        offers=offers,
        output_tokens=units,
        landing=is_landing,
        executed=request.executed if request.converses else [],
        checkpoint_id=None,
        started_at=datetime.now(UTC),
    )


async def _refused(
    caller: Caller, asked: dict[str, Any], short: list[int] | None, *, held_back: bool
) -> Refused:
    """Why a call was not let in."""
    if caller.state not in CALLING:
        return _not_at_work(caller)
    if held_back:
        return await database.run(_held_back, caller)
    if short is None:
        return Refused(400, f"Prices are in {CURRENCY}; this project keeps its books in another currency.")
    least = {name: budgets.amount_of(need, asked["minimum"]) for name, need in asked["needs"].items()}
    return await database.run(_refusal, caller, list(short), least)


def _not_at_work(caller: Caller) -> Refused:
    """An agent that is being paused asks again after a while, and is paused meanwhile: by then it goes on."""
    sentence = f"Machine {caller.handle} is {caller.state}."
    if caller.state in ENDING:
        return Refused(403, sentence)
    return Refused(429, sentence, retry_after_seconds=PAUSE_SECONDS)


def _refusal(caller: Caller, short: list[int], needs: dict[str, int]) -> Refused:
    """What the agent is told. On 402 it gives up, so its machine is paused, even where others could still call.

    It would only ask for the same again; and ended instead of paused, the machine would count as failed.
    """
    shortage = budgets.shortage(Project.objects.get(pk=caller.project_id), short, needs)
    if shortage.passing:
        return Crowded(shortage.sentence, shortage.retry_after_seconds or 10)
    machines.out_of_budget(machine_of(caller), shortage.sentence, shortage.needs)
    return Refused(402, shortage.sentence)


def _held_back(caller: Caller) -> Refused:
    """The project spends too fast; its machines go on when the circuit breaker is closed again."""
    sentence = breaker.refusal(caller.project_id, caller.id)
    if not sentence:  # closed at this very moment
        return Crowded("The circuit breaker of this project was just closed. Try again.", 1)
    machines.held_back(machine_of(caller), sentence)
    return Refused(402, sentence)


def _landing(admission: Admission) -> None:
    """Worth an event, but no reason to fail the call."""
    try:
        landing.begun(machine_of(admission.machine), admission.reservation_id)
    except Exception:
        logger.exception("Machine %s is landing, which could not be said", admission.machine.handle)
