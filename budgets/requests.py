"""Requests for more: asked by a member or a machine, granted or denied by an owner.

Permissions are the interfaces' part.
"""

from uuid import UUID

from django.db import transaction

from budgets import limits
from budgets.limits import LIMIT_MAX, Holder, change_limit
from budgets.models import Budget, BudgetRequest, Window
from budgets.resources import Payer, Period, Resource
from events import actions as events
from projects.errors import Conflict, Invalid
from projects.models import Project, User

State = BudgetRequest.State
DECIDED = "This request has been decided already."


@transaction.atomic
def ask(
    project: Project,
    resource: str,
    amount: int,
    *,
    by: User | None,
    machine_id: UUID | None = None,
    period: str = Period.TOTAL,
    reason: str = "",
) -> BudgetRequest:
    """Ask that a limit be raised by `amount`: the machine's own where it has one, else the project's.

    A machine has one request pending per budget; asked again, that one is changed. Raises `Invalid` or `Conflict`.
    """
    payer = Payer(project.id, machine_id)
    if resource not in Resource.values:
        raise Invalid(f"There is no resource {resource!r}; there are {', '.join(Resource.values)}.")
    own = Budget.objects.standing().filter(holder__in=payer.holders, project=project)
    found = (
        own.filter(resource=resource, period=period).order_by("holder").first()
    )  # "machine" before "project"
    if found is None:
        raise Conflict(
            f"Project {project.slug} has no limit of {resource} per {period} that could be raised."
        )
    return ask_for(found, amount, by=by, machine_id=machine_id, reason=reason)


@transaction.atomic
def ask_for(
    budget: Budget,
    amount: int,
    *,
    by: User | None,
    machine_id: UUID | None = None,
    reason: str = "",
    automatic: bool = False,
) -> BudgetRequest:
    """`ask`, of one budget. An `automatic` request is one that nobody made: the machine was paused for want of it."""
    if not 0 < amount <= LIMIT_MAX:
        raise Invalid("Ask for something: give an amount above 0.")
    if budget.project is None or budget.pooled:
        raise Conflict(f"{budget.scope} has a limit that only an administrator can raise.")
    limits.lock([budget.holder])
    pending = BudgetRequest.objects.filter(budget=budget, machine_id=machine_id, state=State.PENDING)
    request = pending.select_for_update().first() if machine_id else None
    if request and request.asked_by and by is None:
        return request  # what a person asked for, no machine changes
    if request is None:
        request = BudgetRequest(project=budget.project, budget=budget, machine_id=machine_id)
    changed = request.pk is None or request.amount != amount
    request.amount, request.reason, request.automatic = amount, reason[:500], automatic
    request.asked_by = request.asked_by or by
    request.save()
    if changed:
        _tell("budget.requested", request, by, amount=amount)
    return request


def ask_for_shortage(payer: Payer, needs: dict[str, int], *, reason: str) -> BudgetRequest | None:
    """A machine was refused for want of `needs`: ask for as much as lets it go on for a while.

    None when nothing is short any more, or nobody in the project could grant it.
    """
    short = [
        window
        for window in Window.objects.of(payer.holders).select_related("budget__project")
        if not window.is_rate and window.resource in needs and window.left < needs[window.resource]
    ]
    grantable = [window for window in short if window.budget.project and not window.budget.pooled]
    if not grantable:
        return None
    window = grantable[0]
    missing = needs[window.resource] - window.left
    return ask_for(
        window.budget,
        max(2 * missing, window.budget.limit // 5),
        by=None,
        machine_id=payer.machine_id,
        reason=reason,
        automatic=True,
    )


@transaction.atomic
def grant(
    request: BudgetRequest,
    *,
    by: User,
    amount: int | None = None,
    shown: int | None = None,
    answer: str = "",
) -> Budget:
    """Raise the limit by what was asked for, or by `amount`. A machine that waits for it goes on by itself.

    `shown` is what the owner saw being asked for: raises `Conflict` when it has become another amount since.
    """
    limits.lock([request.budget.holder])  # before the request's row, as who asks again does
    request.refresh_from_db(fields=["amount"])
    if shown is not None and request.amount != shown:
        raise Conflict("By now it asks for another amount. Look at it again.")
    more = request.amount if amount is None else amount
    if not 0 < more <= LIMIT_MAX:
        raise Invalid("Grant something: give an amount above 0, or deny the request.")
    request.decide(State.GRANTED, by=by, sentence=DECIDED, granted=more, answer=answer[:300])
    budget = Budget.objects.select_related("project").get(pk=request.budget_id)
    if budget.removed_at:
        raise Conflict("The limit has been lifted meanwhile; there is nothing to raise.")
    holder = Holder(budget.holder, budget.scope, budget.project)
    raised = change_limit(
        holder, budget.resource, min(budget.limit + more, LIMIT_MAX), by=by, period=budget.period
    )
    _tell("budget.request_granted", request, by, amount=more)
    return raised


@transaction.atomic
def deny(request: BudgetRequest, *, by: User, answer: str = "") -> None:
    """Say no; the limit stays."""
    request.decide(State.DENIED, by=by, sentence=DECIDED, answer=answer[:300])
    _tell("budget.request_denied", request, by, amount=request.amount)


@transaction.atomic
def withdraw(request: BudgetRequest, *, by: User | None) -> None:
    """Take it back; `by` nobody where it has become pointless."""
    request.decide(State.WITHDRAWN, by=by, sentence=DECIDED)
    _tell("budget.request_withdrawn", request, by, amount=request.amount)


def _tell(kind: str, request: BudgetRequest, by: User | None, **data: object) -> None:
    subject = f"machine:{request.machine_id}" if request.machine_id else request.subject
    events.record(
        kind,
        subject=subject,
        project_id=request.project_id,
        by=by.username if by else events.SYSTEM,
        request=request.pk,
        scope=request.budget.scope,
        resource=request.budget.resource,
        **data,
    )
