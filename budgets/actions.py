"""Limits: set them, and ask what is left. Holds and charges are written in `reserve` and `ledger`.

Nothing here checks permissions; that is the interfaces' part.
"""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from budgets import sentences
from budgets.ledger import reap_expired, release, settle, settle_in_full, verify
from budgets.models import Budget, Resource
from budgets.reserve import Grant, Shortage, reserve
from events import actions as events
from projects.errors import Conflict, Invalid
from projects.models import Project, User

__all__ = [
    "Grant",
    "Shortage",
    "applicable",
    "has_room",
    "left",
    "reap_expired",
    "release",
    "reserve",
    "set_limit",
    "settle",
    "settle_in_full",
    "summary",
    "verify",
]

_LIMIT_MAX = 2**62


@transaction.atomic
def set_limit(
    project: Project, resource: str, limit: int, *, by: User, machine_id: UUID | None = None, scope: str = ""
) -> Budget:
    """Open or change a budget: `limit` in micros, tokens or calls.

    It is the project's; with `machine_id`, that machine's alone, and it is called `scope`: "Machine m12".
    A new budget counts from now on. Raises `Invalid` for a limit that is none, and `Conflict` when more than
    that is spent or held already.
    """
    if resource not in Resource.values or not 0 <= limit <= _LIMIT_MAX:
        raise Invalid(
            f"A budget is a number of {', '.join(Resource.values)} from 0 up, not {limit} {resource}."
        )
    Budget.objects.get_or_create(
        project=project,
        machine_id=machine_id,
        resource=resource,
        defaults={"limit": 0, "scope": scope or f"Project {project.slug}"},
    )
    budget = Budget.objects.select_for_update().get(project=project, machine_id=machine_id, resource=resource)
    _change(budget, project, limit, by)
    return budget


def _change(budget: Budget, project: Project, limit: int, by: User) -> None:
    if limit < (bound := budget.spent + budget.reserved):
        raise Conflict(
            f"{budget.scope} has spent or promised {sentences.amount(bound, budget, project)} already; "
            "its limit cannot be less than that."
        )
    before, consumed = budget.limit, budget.spent + budget.overrun
    budget.limit = limit
    budget.spent = min(consumed, limit - budget.reserved)
    budget.overrun = consumed - budget.spent
    budget.exhausted_at = None
    budget.save(update_fields=["limit", "spent", "overrun", "exhausted_at"])
    events.record(
        "budget.limit_set",
        subject=budget.subject,
        project_id=project.id,
        by=by.username,
        scope=budget.scope,
        resource=budget.resource,
        limit=limit,
        before=before,
    )


def applicable(project: Project, machine_id: UUID | None = None) -> QuerySet[Budget]:
    """The project's own budgets and, with `machine_id`, that machine's."""
    return Budget.objects.filter(Q(machine_id=None) | Q(machine_id=machine_id), project=project)


def left(project: Project, *, machine_id: UUID | None = None, resource: str = Resource.MONEY) -> int | None:
    """What the tightest applicable budget has left, not below 0; None when there is no such budget."""
    budgets = applicable(project, machine_id).filter(resource=resource)
    return min((max(budget.left, 0) for budget in budgets), default=None)


def has_room(project: Project, *, machine_id: UUID | None = None) -> bool:
    """Whether a machine could make a call: there is money, and every budget has room for a small one."""
    budgets = list(applicable(project, machine_id))
    funded = any(budget.resource == Resource.MONEY for budget in budgets)
    return funded and all(budget.has_room for budget in budgets)


def summary(project: Project) -> dict[str, Any]:
    """The project's budgets as plain data, for the API and the command line. Money is in micros."""
    return {
        "currency": project.currency,
        "budgets": [
            {
                "id": budget.pk,
                "scope": budget.scope,
                "machine_id": budget.machine_id,
                "resource": budget.resource,
                "limit": budget.limit,
                "reserved": budget.reserved,
                "spent": budget.spent,
                "overrun": budget.overrun,
                "left": max(budget.left, 0),
                "exhausted_at": budget.exhausted_at,
            }
            for budget in Budget.objects.filter(project=project)
        ],
    }
