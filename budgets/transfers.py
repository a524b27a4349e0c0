"""Transfers between projects: proposed by one side, agreed to by the other, and entered twice.

Both entries, −amount and +amount, are made in one transaction: no moment sees more or less than there was.
Permissions are the interfaces' part, but for one: only an owner of a side agrees for it.
"""

from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.db.models import F

from budgets import limits, sentences
from budgets.limits import LIMIT_MAX
from budgets.models import Budget, Transfer, Window
from budgets.resources import Period, Resource, of_project
from events import actions as events
from projects.errors import Conflict, Invalid
from projects.models import Project, User

State = Transfer.State
DECIDED = "This transfer has been decided already."


def propose(
    giver: Project,
    taker: Project,
    resource: str,
    amount: int,
    *,
    by: User,
    period: str = Period.TOTAL,
    note: str = "",
    key: str | None = None,
) -> Transfer:
    """Offer part of `giver`'s limit to `taker`, or ask for it; who owns both sides has agreed for both.

    Asked again with the same key, the first is returned. Raises `Invalid`, `Conflict` or `PermissionDenied`.
    """
    _check(giver, taker, resource, amount, period)
    sides = [side for side in (giver, taker) if by.has_perm("projects.manage_budgets", side)]
    if not sides:
        raise PermissionDenied
    own_key = f"{by.pk}:{key}" if key else None
    with transaction.atomic():
        if own_key and (twin := _twin(own_key)):
            return twin
        transfer = Transfer.objects.create(
            giver=giver,
            taker=taker,
            resource=resource,
            period=period,
            amount=amount,
            note=note[:300],
            proposed_by=by,
            proposed_for=sides[0],
            key=own_key,
        )
        _tell("transfer.proposed", transfer, by)
        if len(sides) == 2:
            _make(transfer, by)
    return transfer


@transaction.atomic
def accept(transfer: Transfer, *, by: User) -> None:
    """Agree for the other side; the limits move. Raises `Conflict` where the giver has no longer that much left."""
    _require(by, transfer.other)
    _make(transfer, by)


@transaction.atomic
def decline(transfer: Transfer, *, by: User) -> None:
    """Refuse for the other side."""
    _require(by, transfer.other)
    transfer.decide(State.DECLINED, by=by, sentence=DECIDED)
    _tell("transfer.declined", transfer, by)


@transaction.atomic
def withdraw(transfer: Transfer, *, by: User) -> None:
    """Take a proposal back, for the side that made it."""
    _require(by, transfer.proposed_for)
    transfer.decide(State.WITHDRAWN, by=by, sentence=DECIDED)
    _tell("transfer.withdrawn", transfer, by)


def _twin(key: str) -> Transfer | None:
    """What was proposed with that key. Of two who ask at once, the second waits here for the first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])
    return Transfer.objects.filter(key=key).first()


def _check(giver: Project, taker: Project, resource: str, amount: int, period: str) -> None:
    if giver.pk == taker.pk:
        raise Invalid("A project cannot transfer anything to itself.")
    if giver.currency != taker.currency and resource == Resource.MONEY:
        raise Invalid(f"{giver.slug} keeps its books in {giver.currency}, {taker.slug} in {taker.currency}.")
    if resource not in Resource.values or period not in Period.values or period == Period.MINUTE:
        raise Invalid(f"There is no {resource} per {period} to transfer.")
    if not 0 < amount <= LIMIT_MAX:
        raise Invalid("A transfer is of something: give an amount above 0.")


def _require(by: User, side: Project) -> None:
    if not by.has_perm("projects.manage_budgets", side):
        raise PermissionDenied


def _make(transfer: Transfer, by: User) -> None:
    transfer.decide(State.MADE, by=by, sentence=DECIDED)
    giver, taker = _windows(transfer)
    if giver.left < transfer.amount:
        amounts = [
            sentences.amount(quantity, transfer.resource, transfer.giver.currency)
            for quantity in (max(giver.left, 0), transfer.amount)
        ]
        raise Conflict(f"{giver.budget.scope} has {amounts[0]} left, and cannot give {amounts[1]}.")
    if taker.limit + transfer.amount > LIMIT_MAX:
        raise Conflict(f"{taker.budget.scope} would have a larger limit than there can be.")
    for window, by_amount in ((giver, -transfer.amount), (taker, transfer.amount)):
        limits.move(
            window,
            by_amount,
            kind="transfer",
            key=f"transfer:{transfer.pk}:{window.pk}",
            actor=by.username,
        )
        if transfer.period == Period.TOTAL:  # of a period, only the present one changes
            Budget.objects.filter(pk=window.budget_id).update(limit=F("limit") + by_amount)
    _tell("transfer.made", transfer, by)


def _windows(transfer: Transfer) -> tuple[Window, Window]:
    """The open balances of both sides, locked."""
    holders = [of_project(transfer.giver_id), of_project(transfer.taker_id)]
    limits.lock(holders)
    open_ones = Window.objects.of(holders).filter(resource=transfer.resource, budget__period=transfer.period)
    by_holder = {window.holder: window for window in open_ones.select_related("budget")}
    for holder, side in zip(holders, (transfer.giver, transfer.taker), strict=True):
        if holder not in by_holder:
            raise Conflict(
                f"Project {side.slug} has no budget for {transfer.resource} ({transfer.period}). Set one first: "
                f"`bin/autovibe budget set {side.slug} {transfer.resource} 0`."
            )
    return by_holder[holders[0]], by_holder[holders[1]]


def _tell(kind: str, transfer: Transfer, by: User) -> None:
    for side in (transfer.giver, transfer.taker):
        events.record(
            kind,
            subject=transfer.subject,
            project_id=side.pk,
            by=by.username,
            giver=transfer.giver.slug,
            taker=transfer.taker.slug,
            resource=transfer.resource,
            amount=transfer.amount,
        )
