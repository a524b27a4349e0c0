"""What is under way and what has ended lately, of what somebody may see: the page, the drawer and the bar's count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser

from audit.grammar import moment
from dashboard import operable, things
from dashboard.operation import Row, told
from dashboard.progress import PLANS, TITLES
from machines.models import Machine
from operations import usual
from operations.models import ENDED, Operation, OperationQuerySet, Status
from projects.models import Project, User

UNDER_WAY_SHOWN = 50
ENDED_SHOWN = 20
STATUSES: dict[str, tuple[str, tuple[str, ...]]] = {
    "active": ("Under way", (Status.QUEUED, Status.RUNNING, Status.WAITING)),
    "operator": ("Needs an operator", (Status.NEEDS_OPERATOR,)),
    "failed": ("Failed", (Status.FAILED,)),
    "succeeded": ("Succeeded", (Status.SUCCEEDED,)),
}


@dataclass(frozen=True)
class Filter:
    """What is asked for in the address. What is no such status, project, verb or machine finds nothing."""

    status: str = ""
    project: str = ""
    verb: str = ""
    machine: str = ""
    routine: str = ""
    before: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "Filter":
        return cls(**{field.name: query.get(field.name, "").strip() for field in fields(cls)})

    @property
    def narrows(self) -> bool:
        """Whether it leaves something out."""
        return bool(self.status or self.project or self.verb or self.machine)

    def of(self, seen: OperationQuerySet, slugs: Mapping[UUID, str]) -> OperationQuerySet:
        """Those of them that it asks for."""
        if self.project:
            seen = seen.filter(project_id__in=[key for key, slug in slugs.items() if slug == self.project])
        if self.status:
            seen = seen.filter(status__in=STATUSES.get(self.status, ("", ()))[1])
        if self.machine:
            seen = seen.filter(subject__in=_subjects(self.machine))
        if self.verb:
            return seen.filter(verb=self.verb)
        return seen if self.routine or self.machine else seen.noteworthy()


def view(user: User, asked: Filter) -> dict[str, Any]:
    """The context of the page, and of the drawer."""
    slugs = dict(Project.objects.permitted(user, "view_project").values_list("pk", "slug"))
    seen = Operation.objects.filter(project_id__in=list(slugs)).select_related("requested_by").defer("trail")
    found = asked.of(seen, slugs)
    under_way = _under_way(found)[: UNDER_WAY_SHOWN + 1] if not asked.before else []
    ended = _ended(found, asked.before)
    told = _rows([*under_way[:UNDER_WAY_SHOWN], *ended[:ENDED_SHOWN]], user, slugs)
    return {
        "asked": asked,
        "under_way": [row for row in told if not row.operation.ended],
        "more_under_way": len(under_way) > UNDER_WAY_SHOWN,
        "ended": [row for row in told if row.operation.ended],
        "older": ended[ENDED_SHOWN - 1].finished_at if len(ended) > ENDED_SHOWN else None,
        "statuses": [(key, words) for key, (words, _) in STATUSES.items()],
        "slugs": sorted(slugs.values()),
        "verbs": sorted(TITLES.items(), key=lambda item: item[1]),
    }


def one(user: User, operation: Operation) -> Row:
    """One operation, told as in the list."""
    return _rows([operation], user, {operation.project_id: operation.project.slug})[0]


def under_way(user: User | AnonymousUser) -> OperationQuerySet:
    """Those under way that somebody may want to hear of."""
    seen = Operation.objects.active().noteworthy()
    return seen.filter(project__in=Project.objects.permitted(user, "view_project"))


def _subjects(handle: str) -> list[str]:
    """What is said of a machine: itself, and its VM."""
    number = handle.removeprefix("m")
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        return []
    found = Machine.objects.filter(number=number).values_list("pk", "guest_id").first()
    return [f"machine:{found[0]}", f"guest:{found[1]}"] if found else []


def _under_way(found: OperationQuerySet) -> list[Operation]:
    """Those that wait for an operator first, then the oldest."""
    active = list(found.active().order_by("created_at")[: UNDER_WAY_SHOWN + 1])
    return sorted(active, key=lambda operation: operation.status != Status.NEEDS_OPERATOR)


def _ended(found: OperationQuerySet, before: str) -> list[Operation]:
    """The last ones; `before` is when the last one of an earlier page ended."""
    ended = found.filter(finished_at__isnull=False, status__in=ENDED)
    if until := moment(before):
        ended = ended.filter(finished_at__lt=until)
    return list(ended.order_by("-finished_at")[: ENDED_SHOWN + 1])


def _rows(found: Sequence[Operation], user: User, slugs: Mapping[UUID, str]) -> list[Row]:
    names = things.of({one.subject for one in found} | _held(found), slugs)
    able = operable.of(user, [one for one in found if not one.ended])
    medians = usual.seconds(PLANS)
    holders = _holders(found)
    return [
        told(
            one,
            thing=names.get(one.subject) or things.Thing(things.short(one.subject)),
            slug=slugs[one.project_id],
            usual=medians.get(one.verb),
            operable=one.pk in able,
            holder=holders.get(one.lock),
        )
        for one in found
    ]


def _held(found: Sequence[Operation]) -> set[str]:
    return {one.lock for one in found if one.status == Status.QUEUED and not one.started_at}


def _holders(found: Sequence[Operation]) -> dict[str, Operation]:
    """What has the locks that others wait for."""
    holding = Operation.objects.active().filter(lock__in=_held(found), started_at__isnull=False)
    return {one.lock: one for one in holding.defer("trail")}
