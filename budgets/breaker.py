"""The circuit breaker of a project: it opens when money is spent many times as fast as is normal there.

The rate is what the ledger took in the last five minutes. Normal is the 90th percentile of the five-minute intervals
in which anything was spent, over the past fourteen days: a busy hour counts, a night does not, and a former runaway of
less than a tenth of the time is no measure. Below a floor nothing opens; a project with less than an hour's activity
has no normal, and opens at `BREAKER_CEILING` alone, if that is set.

When it is open, nothing of the project runs. After a cool-down one machine may go on as the probe. If that stays
normal for its probation, the breaker closes and all go on; else it opens again, for twice as long. Budgets hold either
way: this is for what a budget would allow, and nobody wants. `machines.limits.breakers` pauses and resumes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone

from budgets import money
from budgets.models import LedgerEntry, months_of
from budgets.models.breaker import Breaker, State
from events import actions as events
from projects.errors import Conflict, Invalid
from projects.models import Project, User

INTERVAL = timedelta(minutes=5)
PAST = timedelta(days=14)
INTERVALS_MIN = 12  # an hour's activity: less says little
NORMAL_KEPT = timedelta(hours=1)
COOLDOWN_MAX = timedelta(hours=4)
FACTOR_MAX = 1000.0

# What was spent in each interval up to a while ago, so that what is going on now does not become normal.
_NORMAL = """
SELECT count(*), percentile_disc(0.9) WITHIN GROUP (ORDER BY micros) FROM (
    SELECT sum(micros) AS micros FROM budgets_ledgerentry
    WHERE project_id = %(project)s AND kind = ANY(%(kinds)s)
      AND month BETWEEN %(first)s AND %(last)s AND created_at >= %(since)s AND created_at < %(until)s
    GROUP BY date_bin(%(interval)s, created_at, 'epoch') HAVING sum(micros) > 0
) AS active
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How fast a project spends, and how fast it may, in micros a minute; `most` None: as fast as it likes."""

    rate: int
    normal: int | None
    most: int | None

    @property
    def is_too_fast(self) -> bool:
        return self.most is not None and self.rate > self.most


def find(project: Project) -> Breaker:
    """The project's breaker; one that never tripped has no row yet."""
    known = Breaker.objects.select_related("project").filter(project=project).first()
    return known or Breaker(project=project, since=project.created_at)


def refusal(project_id: UUID, machine_id: UUID | None = None) -> str:
    """Why a call may not be made now; "" when it may."""
    breaker = Breaker.objects.filter(project=project_id).exclude(state=State.CLOSED).first()
    if breaker is None or (machine_id and breaker.probe == machine_id):
        return ""
    return breaker.sentence


def check(now: datetime | None = None) -> None:
    """See how fast every project spends, and open, close and try accordingly."""
    now = now or timezone.now()
    for project in _spending_much(now):
        breaker = find(project)
        if breaker.enabled and breaker.state == State.CLOSED:
            verdict = judge(breaker, now)
            if verdict.is_too_fast:
                _open(breaker, verdict, now)
    for breaker in Breaker.objects.filter(state=State.HALF_OPEN).select_related("project"):
        _judge_probe(breaker, now)


def cooled_down(now: datetime | None = None) -> QuerySet[Breaker]:
    """Those that have been open for long enough to try whether all is well."""
    return Breaker.objects.filter(state=State.OPEN, until__lte=now or timezone.now())


@transaction.atomic
def try_with(breaker: Breaker, machine_id: UUID | None, now: datetime | None = None) -> bool:
    """Let that machine run on probation; with none that could, all may. False when somebody was faster."""
    now = now or timezone.now()
    if machine_id is None:
        return _close(breaker, events.SYSTEM, now)
    until = now + timedelta(seconds=settings.BREAKER_PROBATION_SECONDS)
    if not breaker.move(State.HALF_OPEN, probe=machine_id, until=until, since=now):
        return False
    _record("breaker.half_open", breaker, machine_id=str(machine_id), until=until)
    return True


@transaction.atomic
def close(project: Project, *, by: User, now: datetime | None = None) -> Breaker:
    """Close it at once; what was spent so far does not count any more. Raises `Conflict` when it is not open."""
    breaker = find(project)
    if breaker.state == State.CLOSED or not _close(breaker, by.username, now or timezone.now()):
        raise Conflict(f"The circuit breaker of {project.slug} is closed.")
    return breaker


@transaction.atomic
def configure(
    project: Project, *, by: User, factor: float | None = None, enabled: bool | None = None
) -> Breaker:
    """Set how many times its normal is too much, or switch it on and off; switched off, it is closed.

    Raises `Invalid`.
    """
    if factor is not None and not 1 < factor <= FACTOR_MAX:
        raise Invalid(
            f"The factor is how many times the normal rate is too much: from above 1 to {FACTOR_MAX:g}."
        )
    given: dict[str, Any] = {} if factor is None else {"factor": factor}
    given |= {} if enabled is None else {"enabled": enabled}
    breaker = find(project)
    for name, value in given.items():
        setattr(breaker, name, value)
    breaker.save(update_fields=list(given) if given and not breaker._state.adding else None)
    _record("breaker.set", breaker, by=by.username, **given)
    if not breaker.enabled and breaker.state != State.CLOSED:
        _close(breaker, by.username, timezone.now())
    return breaker


def judge(breaker: Breaker, now: datetime | None = None) -> Verdict:
    """The rate since the breaker last changed, but of the last five minutes at most, and what it may be."""
    now = now or timezone.now()
    spent = _spent(breaker.project_id, max(now - INTERVAL, breaker.since), now)
    rate = spent // (INTERVAL // timedelta(minutes=1))
    normal = _normal(breaker, now)
    if normal is None:
        ceiling = round(settings.BREAKER_CEILING * money.MICROS)
        return Verdict(rate, None, ceiling or None)
    return Verdict(rate, normal, max(round(breaker.factor * normal), _floor()))


def _spending_much(now: datetime) -> Iterable[Project]:
    """Projects that spend more than the floor: only those are looked at closely. There are few."""
    recent = _entries(now - INTERVAL, now).order_by().values("project").annotate(spent=Sum("micros"))
    least = min(_floor(), round(settings.BREAKER_CEILING * money.MICROS) or _floor())
    busy = recent.filter(spent__gt=least * (INTERVAL // timedelta(minutes=1)), project__isnull=False)
    return Project.objects.filter(pk__in=list(busy.values_list("project", flat=True)))


def _judge_probe(breaker: Breaker, now: datetime) -> None:
    verdict = judge(breaker, now)
    if verdict.is_too_fast:
        _open(breaker, verdict, now)
    elif breaker.until and breaker.until <= now:
        with transaction.atomic():
            _close(breaker, events.SYSTEM, now)


@transaction.atomic
def _open(breaker: Breaker, verdict: Verdict, now: datetime) -> None:
    again = breaker.state == State.HALF_OPEN
    first = timedelta(seconds=settings.BREAKER_COOLDOWN_SECONDS)
    cooldown = min(timedelta(seconds=2 * breaker.cooldown_seconds), COOLDOWN_MAX) if again else first
    if breaker._state.adding:
        breaker.save(force_insert=True)
    moved = breaker.move(
        State.OPEN,
        since=now,
        until=now + cooldown,
        cooldown_seconds=cooldown // timedelta(seconds=1),
        probe=None,
        sentence=_sentence(breaker.project, verdict, now + cooldown),
    )
    if moved:
        figures: dict[str, Any] = {"rate": verdict.rate, "normal": verdict.normal, "most": verdict.most}
        _record("breaker.opened", breaker, factor=breaker.factor, until=breaker.until, again=again, **figures)


def _close(breaker: Breaker, who: str, now: datetime) -> bool:
    if not breaker.move(State.CLOSED, since=now, until=None, probe=None, sentence=""):
        return False
    _record("breaker.closed", breaker, by=who)
    return True


def _sentence(project: Project, verdict: Verdict, until: datetime) -> str:
    rate = money.show(verdict.rate, project.currency)
    if verdict.normal is None:
        than = f"more than the {money.show(verdict.most or 0, project.currency)} allowed before its normal is known"
    else:
        than = f"where {money.show(verdict.normal, project.currency)} is normal"
    return (
        f"Project {project.slug} spent {rate} a minute, {than}: its circuit breaker opened. One machine goes on to try "
        f"at {until:%H:%M} UTC; to let all go on now: bin/autovibe breaker {project.slug} --close"
    )


def _normal(breaker: Breaker, now: datetime) -> int | None:
    """Micros a minute; reckoned anew once an hour, and never while it is tripped."""
    fresh = breaker.normal_at and breaker.normal_at > now - NORMAL_KEPT
    if not fresh and breaker.state == State.CLOSED:
        breaker.normal, breaker.normal_at = _reckon_normal(breaker.project_id, now), now
        Breaker.objects.filter(pk=breaker.pk).update(normal=breaker.normal, normal_at=now)
    return breaker.normal


def _reckon_normal(project_id: UUID, now: datetime) -> int | None:
    since, until = now - PAST, now - 2 * INTERVAL
    first, last = months_of(since, until)
    asked: dict[str, Any] = {
        "project": project_id,
        "kinds": list(LedgerEntry.CONSUMPTION),
        "first": first,
        "last": last,
        "since": since,
        "until": until,
        "interval": INTERVAL,
    }
    with connection.cursor() as cursor:
        cursor.execute(_NORMAL, asked)
        intervals, micros = cursor.fetchone()
    return int(micros) // (INTERVAL // timedelta(minutes=1)) if intervals >= INTERVALS_MIN else None


def _spent(project_id: UUID, since: datetime, until: datetime) -> int:
    found = _entries(since, until).filter(project=project_id).aggregate(spent=Sum("micros"))
    return max(found["spent"] or 0, 0)


def _entries(since: datetime, until: datetime) -> QuerySet[LedgerEntry]:
    """Consumption that was entered then."""
    return LedgerEntry.objects.filter(
        kind__in=LedgerEntry.CONSUMPTION,
        month__range=months_of(since, until),
        created_at__gt=since,
        created_at__lte=until,
    )


def _floor() -> int:
    return round(settings.BREAKER_FLOOR * money.MICROS)


def _record(kind: str, breaker: Breaker, *, by: str = events.SYSTEM, **data: Any) -> None:
    project = breaker.project
    events.record(
        kind, subject=project.subject, project_id=project.pk, by=by, sentence=breaker.sentence, **data
    )
