"""Pools: every day their money is dealt out to their projects, by greediness and by what it achieves there.

A project's share is the limit of its budget for that day. It is dealt again when the terms change, for the rest of the
day: nobody gets less than is spent or held. The arithmetic is in `shares`. Nothing here checks permissions.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from django.db import transaction
from django.db.models import F, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from budgets import limits, money
from budgets.limits import LIMIT_MAX, Holder
from budgets.models import Budget, Deal, Pool, PoolMember, Window
from budgets.prices import CURRENCY
from budgets.resources import Period, Resource, of_project
from budgets.shares import Claim, Share, divide
from events import actions as events
from projects.errors import Conflict, Invalid, NotThere
from projects.models import Project, User

# By project, how much more than usual its money achieves: about 1.
Measure = Callable[[Collection[UUID]], Mapping[UUID, Decimal]]

USUAL = Decimal("1.00")
_BECAUSE = {
    "used": "spent or held already",
    "least": "the least that a project of this pool gets",
    "most": "as much as it may get",
}


def find(name: str) -> Pool:
    """Raises `NotThere`, naming those there are."""
    if pool := Pool.objects.filter(name=name).first():
        return pool
    known = ", ".join(Pool.objects.values_list("name", flat=True)[:10]) or "none yet"
    raise NotThere(f"There is no pool {name!r}. There are: {known}.")


@transaction.atomic
def put(name: str, amount: int, *, by: User, **options: Any) -> Pool:
    """Make or change a pool; `options`: `timezone`, `min_percent`, `max_percent`, `adjust`. Raises `Invalid`."""
    _check(amount, options)
    pool, made = Pool.objects.select_for_update().get_or_create(name=name, defaults={"amount": amount})
    asked = {"amount": amount, **options}
    before = {} if made else {field: getattr(pool, field) for field in asked}
    for field, value in asked.items():
        setattr(pool, field, value)
    if pool.min_percent > pool.max_percent:
        raise Invalid("The least part of a pool is not more than the largest.")
    pool.save()
    events.record(
        "pool.set", subject=pool.subject, by=by.username, before=before, name=name, made=made, **asked
    )
    return pool


@transaction.atomic
def join(pool: Pool, project: Project, *, by: User) -> PoolMember:
    """Let a project share in the pool, from now on. Raises `Conflict`."""
    Pool.objects.select_for_update().get(pk=pool.pk)
    limits.lock([of_project(project.id)])
    if project.currency != CURRENCY:
        raise Conflict(f"Pools are in {CURRENCY}; {project.slug} keeps its books in {project.currency}.")
    if known := PoolMember.objects.filter(project=project, left_at=None).select_related("pool").first():
        raise Conflict(f"Project {project.slug} is in the pool {known.pool} already.")
    if _own_day(project):
        raise Conflict(
            f"Project {project.slug} has a limit of money per day of its own. Lift it first: "
            f"`bin/autovibe budget remove {project.slug} money --per day`."
        )
    _tell("pool.joined", pool, project, by)
    return PoolMember.objects.create(pool=pool, project=project)


@transaction.atomic
def leave(pool: Pool, project: Project, *, by: User) -> None:
    """The project has no share any more, nor a limit per day. What it used today is still missing from the pool."""
    Pool.objects.select_for_update().get(pk=pool.pk)
    member = pool.members.filter(project=project, left_at=None).select_related("budget").first()
    if member is None:
        raise Conflict(f"Project {project.slug} is not in the pool {pool}.")
    if member.budget:
        limits.remove_limit(member.budget, by=by, pooled=True)
    PoolMember.objects.filter(pk=member.pk).update(left_at=timezone.now())
    _tell("pool.left", pool, project, by)


@transaction.atomic
def dissolve(pool: Pool, *, by: User) -> None:
    """Remove the pool, and with it the shares of its projects."""
    for member in pool.members.filter(left_at=None).select_related("project"):
        leave(pool, member.project, by=by)
    events.record("pool.removed", subject=pool.subject, by=by.username, name=pool.name)
    pool.delete()


def deal(measure: Measure) -> int:
    """Deal out every pool that has not been today, or not on its present terms; returns how many.

    Once a day is once: done again, it changes nothing.
    """
    return sum(_deal_if_due(pool, measure) for pool in Pool.objects.all())


def latest(pool: Pool) -> Deal | None:
    """How the pool was dealt out today, if it has been."""
    return pool.deals.filter(day=_today(pool)).first()


def _deal_if_due(pool: Pool, measure: Measure) -> bool:
    members = _members(pool)
    if not _is_due(pool, members):
        return False
    # Before anything is locked: it takes a while.
    return _deal(pool.pk, measure([member.project_id for member in members]) if pool.adjust else {})


@transaction.atomic
def _deal(pool_id: int, efficiency: Mapping[UUID, Decimal]) -> bool:
    pool = Pool.objects.select_for_update().get(pk=pool_id)
    members = _members(pool)
    if not _is_due(pool, members):  # somebody was faster
        return False
    limits.lock([of_project(member.project_id) for member in members])
    windows = Window.objects.open().filter(budget__in=[member.budget_id for member in members])
    used = {window.budget_id: _used(window) for window in windows.select_related("budget")}
    claims = [
        Claim(
            member.project_id,
            Fraction(member.project.greediness) * Fraction(efficiency.get(member.project_id, USUAL)),
            used.get(member.budget_id or 0, 0),
        )
        for member in members
    ]
    amount = max(pool.amount - _gone(pool), 0)
    shares = divide(
        amount, claims, least=Fraction(pool.min_percent, 100), most=Fraction(pool.max_percent, 100)
    )
    _give(pool, members, shares)
    explained = [_explained(member, efficiency, shares, claims) for member in members]
    Deal.objects.create(pool=pool, day=_today(pool), terms=_terms(pool, members), shares=explained)
    events.record("pool.dealt", subject=pool.subject, name=pool.name, amount=amount, shares=explained)
    return True


def _give(pool: Pool, members: list[PoolMember], shares: Mapping[UUID, Share]) -> None:
    """Take first, then give, so that at no moment more is out than the pool holds."""

    def more(member: PoolMember) -> int:
        return shares[member.project_id].amount - (member.budget.limit if member.budget else 0)

    for member in sorted(members, key=more):
        known = member.budget
        if known and not more(member) and known.timezone == pool.timezone:
            continue
        budget = limits.change_limit(
            Holder.of_project(member.project),
            Resource.MONEY,
            shares[member.project_id].amount,
            by=None,
            period=Period.DAY,
            pooled=True,
            timezone=pool.timezone,
        )
        PoolMember.objects.filter(pk=member.pk).update(budget=budget)


def _used(window: Window) -> int:
    """What its share must at least be today. What was transferred to it, or by it, is no part of the share."""
    return max(window.spent + window.reserved - (window.limit - window.budget.limit), 0)


def _gone(pool: Pool) -> int:
    """What those took with them today that have left."""
    left = pool.members.filter(left_at__gte=_midnight(pool), budget__isnull=False).values("budget")
    windows = Window.objects.filter(budget__in=left, starts_at__gte=_midnight(pool))
    used = windows.aggregate(total=Coalesce(Sum(F("spent") + F("reserved") + F("overrun")), 0))
    return int(used["total"])


def _members(pool: Pool) -> list[PoolMember]:
    return list(pool.members.filter(left_at=None).select_related("project", "budget"))


def _is_due(pool: Pool, members: list[PoolMember]) -> bool:
    last = pool.deals.first()
    return last is None or (last.day, last.terms) != (_today(pool), _terms(pool, members))


def _terms(pool: Pool, members: list[PoolMember]) -> dict[str, Any]:
    """What the shares depend on, besides what was achieved."""
    return {
        "amount": pool.amount,
        "timezone": pool.timezone,
        "least": pool.min_percent,
        "most": pool.max_percent,
        "adjust": pool.adjust,
        "greediness": {f"{member.project_id}": f"{member.project.greediness}" for member in members},
    }


def _explained(
    member: PoolMember, efficiency: Mapping[UUID, Decimal], shares: Mapping[UUID, Share], claims: list[Claim]
) -> dict[str, Any]:
    """One share and how it came about, as data and as a sentence: `0.7 × 1.2 of 2.9 → 12.41 USD`."""
    key, greediness = member.project_id, member.project.greediness
    factor, share = efficiency.get(key, USUAL), shares[key]
    total = sum((claim.weight for claim in claims), Fraction(0))
    why = f", {_BECAUSE[share.bound]}" if share.bound else ""
    sentence = (
        f"{_plain(greediness)} × {_plain(factor)} of {_plain(Decimal(float(total)))} "
        f"→ {money.show(share.amount, CURRENCY)}{why}"
    )
    return {
        "project": member.project.slug,
        "greediness": str(greediness),
        "efficiency": str(factor),
        "weight": float(greediness * factor),
        "of": float(total),
        "share": share.amount,
        "bound": share.bound,
        "sentence": sentence,
    }


def _plain(number: Decimal) -> str:
    """At most two decimals, and none that say nothing: `0.7`."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _check(amount: int, options: dict[str, Any]) -> None:
    if not 0 <= amount <= LIMIT_MAX:
        raise Invalid("A pool holds an amount of money from 0 up.")
    if options.get("timezone", "UTC") not in available_timezones():
        raise Invalid(f"There is no time zone {options['timezone']!r}; write it like Europe/Berlin.")
    least, most = options.get("min_percent", 0), options.get("max_percent", 100)
    if not 0 <= least <= 100 or not 1 <= most <= 100:
        raise Invalid("The least and the largest part of a pool are per cents.")


def _own_day(project: Project) -> bool:
    own = Budget.objects.standing().filter(holder=of_project(project.id), resource=Resource.MONEY)
    return own.filter(period=Period.DAY).exists()


def _today(pool: Pool) -> date:
    return timezone.now().astimezone(ZoneInfo(pool.timezone)).date()


def _midnight(pool: Pool) -> datetime:
    return datetime.combine(_today(pool), time(), ZoneInfo(pool.timezone))


def _tell(kind: str, pool: Pool, project: Project, by: User) -> None:
    events.record(
        kind,
        subject=pool.subject,
        project_id=project.pk,
        by=by.username,
        name=pool.name,
        project=project.slug,
    )
