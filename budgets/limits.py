"""Set limits, and take them away. Holds and charges are written in `reserve` and `ledger`.

Nothing here checks permissions; that is the interfaces' part.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import available_timezones

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from budgets import resources, sentences
from budgets.models import Budget, Window
from budgets.resources import COMPUTE, SYSTEM, Period, Resource
from events import actions as events
from projects.errors import Conflict, Invalid
from projects.models import Project, User

LIMIT_MAX = 2**62


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose budget it is: its key, how sentences call it, and the project that may see it."""

    key: str
    scope: str
    project: Project | None

    @classmethod
    def of_system(cls) -> "Holder":
        return cls(SYSTEM, "The whole system", None)

    @classmethod
    def of_hub(cls, name: str) -> "Holder":
        return cls(resources.of_hub(name), f"Hub {name}", None)

    @classmethod
    def of_project(cls, project: Project) -> "Holder":
        return cls(resources.of_project(project.id), f"Project {project.slug}", project)

    @classmethod
    def of_member(cls, project: Project, user: User) -> "Holder":
        return cls(
            resources.of_member(project.id, user.pk), f"Member {user.username} of {project.slug}", project
        )

    @classmethod
    def of_machine(cls, project: Project, machine_id: UUID, scope: str) -> "Holder":
        """`scope`: "Machine m12"."""
        return cls(resources.of_machine(machine_id), scope, project)


@transaction.atomic
def change_limit(
    holder: Holder, resource: str, limit: int, *, by: User | None, period: str = Period.TOTAL, **options: Any
) -> Budget:
    """Open or change a budget, from now on and in the present period.

    `options`: `timezone`, `carry_over`, `landing_percent`, `marks`, `pooled`; what is not given stays as it is. A new
    budget counts from now on. Raises `Invalid` for a limit that is none, and `Conflict` when more than that is spent
    or held already.
    """
    _check(resource, limit, period, options)
    budget = _locked(holder, resource, period, options)
    if budget is None:
        budget, before = _open(holder, resource, limit, period, options, by), 0
    else:
        _require_own(budget, options.get("pooled", False))
        before = budget.limit
        _change(budget, limit, options, by)
    tell("budget.limit_set", budget, by=by, limit=limit, before=before)
    return budget


@transaction.atomic
def remove_limit(budget: Budget, *, by: User, pooled: bool = False) -> None:
    """Lift a limit. What was held under it is still settled; its windows stay on record.

    A share of a pool (`pooled`) is lifted by leaving the pool.
    """
    _require_own(budget, pooled)
    lock([budget.holder])
    removed = Budget.objects.standing().filter(pk=budget.pk).update(removed_at=timezone.now())
    if not removed:
        raise Conflict("This limit has been removed already.")
    Window.objects.filter(budget=budget, closed_at=None).update(closed_at=timezone.now())
    tell("budget.limit_removed", budget, by=by, limit=budget.limit)


def lock(holders: list[str]) -> None:
    """Lock the open windows of these holders, in everybody's order; begin the periods that are due."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT budgets_lock(%s::text[], %s)", [holders, timezone.now()])


def move(window: Window, by: int, *, kind: str, key: str, actor: str) -> None:
    """Change the limit of a locked window alone, and enter it. `kind` is `limit` or `transfer`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT budgets_move_limit(%s, %s, %s, %s, %s, %s)",
            [window.pk, by, kind, key, actor, timezone.now()],
        )


def tell(kind: str, budget: Budget, *, by: User | None = None, **data: Any) -> None:
    """Record an event of this budget, and which one it is."""
    events.record(
        kind,
        subject=budget.subject,
        project_id=budget.project_id,
        by=by.username if by else events.SYSTEM,
        scope=budget.scope,
        resource=budget.resource,
        period=budget.period,
        **data,
    )


def _check(resource: str, limit: int, period: str, options: dict[str, Any]) -> None:
    if resource not in Resource.values or not 0 <= limit <= LIMIT_MAX:
        raise Invalid(
            f"A budget is a number of {', '.join(Resource.values)} from 0 up, not {limit} {resource}."
        )
    if period not in Period.values:
        raise Invalid(f"A period is one of {', '.join(Period.values)}, not {period!r}.")
    if period == Period.MINUTE and resource in COMPUTE:
        raise Invalid("Limits per minute are for model calls; time and compute are measured by the minute.")
    if options.get("carry_over") and period in (Period.TOTAL, Period.MINUTE):
        raise Invalid("Only what an hour, day, week or month leaves can be carried over to the next.")
    if (zone := options.get("timezone")) is not None and zone not in available_timezones():
        raise Invalid(f"There is no time zone {zone!r}; write it like Europe/Berlin.")
    if not 0 <= options.get("landing_percent", 0) <= 50:
        raise Invalid("Between 0 and 50 per cent can be kept back for wrapping up.")
    marks = options.get("marks", [])
    if len(marks) > 10 or any(not 1 <= mark <= 100 for mark in marks):
        raise Invalid("Warnings are at most ten whole per cents from 1 to 100.")


def _require_own(budget: Budget, pooled: bool) -> None:
    if budget.pooled and not pooled:
        raise Conflict(
            f"{budget.scope} has this limit from a pool, which is dealt out by greediness every day. "
            "An administrator can change the pool, or take the project out of it."
        )


def _locked(holder: Holder, resource: str, period: str, options: dict[str, Any]) -> Budget | None:
    lock([holder.key])
    standing = Budget.objects.standing().select_for_update()
    return standing.filter(holder=holder.key, resource=resource, period=period).first()


def _create(**fields: Any) -> Budget:
    """Raises `Conflict` when somebody else makes the same at this moment: there is no row yet that could be locked."""
    try:
        with transaction.atomic():
            return Budget.objects.create(**fields)
    except IntegrityError:
        raise Conflict("Somebody else has just set this limit. Look at it again.") from None


def _open(
    holder: Holder, resource: str, limit: int, period: str, options: dict[str, Any], by: User | None
) -> Budget:
    kept = 0 if period == Period.MINUTE or resource in COMPUTE else settings.BUDGET_LANDING_PERCENT
    budget = _create(
        holder=holder.key,
        project=holder.project,
        scope=holder.scope,
        resource=resource,
        period=period,
        limit=limit,
        **({"landing_percent": kept, "timezone": settings.BUDGET_TIME_ZONE} | options),
    )
    with connection.cursor() as cursor:
        who = by.username if by else events.SYSTEM
        cursor.execute("SELECT budgets_open(%s, 0, %s, %s)", [budget.pk, who, timezone.now()])
    return budget


def _change(budget: Budget, limit: int, options: dict[str, Any], by: User | None) -> None:
    window = budget.windows.open().get()
    delta, bound = limit - budget.limit, window.spent + window.reserved
    if window.limit + delta < bound:
        promised = sentences.amount(bound, budget.resource, budget.currency)
        raise Conflict(
            f"{budget.scope} has spent or promised {promised} already; its limit cannot be less than that."
        )
    Budget.objects.filter(pk=budget.pk).update(limit=limit, **options)
    budget.refresh_from_db()
    Window.objects.filter(pk=window.pk).update(landing_percent=budget.landing_percent, warned=0)
    if delta:
        move(
            window,
            delta,
            kind="limit",
            key=f"window:{window.pk}:{uuid4()}",
            actor=by.username if by else events.SYSTEM,
        )
