"""What other rooms ask of budgets: limits, holds, and what is left."""

from typing import Any
from uuid import UUID

from budgets.ledger import (
    figures_of,
    reap_expired,
    settle,
    settle_figures,
    settle_in_full,
)
from budgets.limits import Holder, change_limit, remove_limit
from budgets.models import Budget, Window
from budgets.reserve import Grant, Shortage, reserve, reserve_call, shortage
from budgets.resources import Payer, Resource, amount_of, funds
from projects.models import Project, User

__all__ = [
    "Grant",
    "Holder",
    "Payer",
    "Shortage",
    "amount_of",
    "applicable",
    "balance",
    "change_limit",
    "figures_of",
    "has_room",
    "left",
    "reap_expired",
    "remove_limit",
    "reserve",
    "reserve_call",
    "set_limit",
    "settle",
    "settle_figures",
    "settle_in_full",
    "shortage",
    "summary",
]


def set_limit(
    project: Project,
    resource: str,
    limit: int,
    *,
    by: User,
    machine_id: UUID | None = None,
    scope: str = "",
    **options: Any,
) -> Budget:
    """Open or change the budget of a project, or with `machine_id` of that machine, which `scope` names."""
    holder = Holder.of_machine(project, machine_id, scope) if machine_id else Holder.of_project(project)
    return change_limit(holder, resource, limit, by=by, **options)


def applicable(payer: Payer) -> list[Window]:
    """The open windows of every budget that `payer` draws on."""
    return list(Window.objects.of(payer.holders).select_related("budget"))


def left(payer: Payer, resource: str = Resource.MONEY) -> int | None:
    """What the tightest applicable budget has left, not below 0; None when there is no such budget."""
    windows = [one for one in applicable(payer) if one.resource == resource and not one.is_rate]
    return min((max(one.left, 0) for one in windows), default=None)


def has_room(payer: Payer) -> bool:
    """Whether a machine could make a call: there is money, and every budget has room for a small one."""
    windows = applicable(payer)
    funded = any(one.resource == Resource.MONEY and funds(one.holder) for one in windows)
    return funded and all(one.has_room for one in windows)


def summary(project: Project) -> dict[str, Any]:
    """The project's budgets as plain data, for the API and the command line. Money is in micros."""
    windows = Window.objects.open().filter(budget__project=project).select_related("budget")
    return {"currency": project.currency, "budgets": [balance(window) for window in windows]}


def balance(window: Window) -> dict[str, Any]:
    """A budget and what is left of it, as plain data."""
    budget = window.budget
    return {
        "id": budget.pk,
        "kind": budget.kind,
        "scope": budget.scope,
        "machine_id": budget.machine_id,
        "member_id": budget.member_id,
        "resource": window.resource,
        "period": budget.period,
        "timezone": budget.timezone,
        "carry_over": budget.carry_over,
        "landing_percent": budget.landing_percent,
        "marks": budget.marks,
        "limit": window.limit,
        "reserved": window.reserved,
        "spent": window.spent,
        "overrun": window.overrun,
        "left": max(window.left, 0),
        "percent": window.percent,
        "starts_at": window.starts_at,
        "ends_at": window.ends_at,
        "exhausted_at": window.exhausted_at,
    }
