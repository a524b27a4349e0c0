"""What the steps of a first run are told from, in one query: the fleet asks with every page until all is ready."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, Max, QuerySet, Subquery, Value

from budgets.models import Window
from budgets.resources import Resource
from checkpoints.models import Checkpoint
from checkpoints.states import State
from events.models import Event
from guests.models import Diagnosis, Guest
from machines.models import Machine
from projects.models import ApiToken, Project, User
from projects.roles import Right

DISMISSED = "start.dismissed"
LIMITED_SHOWN = 5


@dataclass(frozen=True)
class Facts:
    """As things are now, of what this person sees.

    `limited` are projects with a limit on money, `kept` is the handle of a checkpoint that a machine left, `last` the
    last machine and `node` where the template was seen; "" and None where there is none.
    """

    projects: list[Project]
    dismissed: bool
    has_token: bool
    manages: bool
    limited: list[str]
    kept: str
    last: Machine | None
    ran: bool
    observed_at: datetime | None
    node: str
    asked: Diagnosis | None
    checked: Diagnosis | None


def gather(user: User, projects: Iterable[Project] | None = None) -> Facts:
    """`projects` are those that the user sees, where they are known; else that is a second query."""
    seen = list(Project.objects.permitted(user, Right.VIEW) if projects is None else projects)
    asked = {**_of_user(user), **_of_projects([project.pk for project in seen]), **_of_cluster()}
    found: dict[str, Any] = dict(User.objects.filter(pk=user.pk).values(**asked).get())
    return Facts(
        seen,
        last=_made(Machine, found, "last_"),
        asked=_made(Diagnosis, found, "asked_"),
        checked=_made(Diagnosis, found, "checked_"),
        kept=found.pop("kept") or "",
        node=found.pop("node") or "",
        **found,
    )


def _of_user(user: User) -> dict[str, Any]:
    return {
        "dismissed": Exists(Event.objects.filter(kind=DISMISSED, subject=user.subject)),
        "has_token": Exists(ApiToken.objects.alive().filter(user=user)),
        "manages": Exists(Project.objects.permitted(user, Right.BUDGETS)),
    }


def _of_projects(ids: list[UUID]) -> dict[str, Any]:
    limits = Window.objects.open().filter(
        budget__project__in=ids, holder__startswith="project:", budget__resource=Resource.MONEY
    )
    slugs = limits.order_by("budget__project__slug").values("budget__project__slug").distinct()
    taken = Checkpoint.objects.filter(project__in=ids, state=State.CAPTURED)
    left = taken.exclude(kind=Checkpoint.Kind.GENESIS).order_by().values("handle")
    last = Machine.objects.filter(project__in=ids).order_by("-number")
    return {
        "limited": ArraySubquery(slugs[:LIMITED_SHOWN]),
        "kept": Subquery(left[:1]),
        **_first(last, "last_", "number", "state", "sentence"),
    }


def _of_cluster() -> dict[str, Any]:
    template = Guest.objects.filter(template=True, vmid=settings.PROXMOX_TEMPLATE)
    finished = Diagnosis.objects.exclude(finished_at=None)
    observed = Guest.objects.order_by().values(together=Value(1)).annotate(at=Max("observed_at")).values("at")
    return {
        "ran": Exists(Machine.objects.exclude(run_started_at=None)),
        "observed_at": Subquery(observed),
        "node": Subquery(template.values("node")[:1]),
        **_first(Diagnosis.objects.all(), "asked_", "asked_at", "finished_at"),
        **_first(finished, "checked_", "finished_at", "findings"),
    }


def _first(found: QuerySet[Any], prefix: str, *fields: str) -> dict[str, Any]:
    """Those fields of the first of them."""
    return {f"{prefix}{field}": Subquery(found.values(field)[:1]) for field in fields}


def _made(model: Any, found: dict[str, Any], prefix: str) -> Any:
    """The row again of which those fields were taken out of `found`; None where there was none."""
    names = [name for name in found if name.startswith(prefix)]
    fields = {name.removeprefix(prefix): found.pop(name) for name in names}
    return model(**fields) if any(value is not None for value in fields.values()) else None
