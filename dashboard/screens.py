"""Wall screens: making, changing, renewing and revoking them. What one shows is `dashboard.wall`'s."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from dashboard.models import Screen
from dashboard.models.screen import ScreenQuerySet
from events import actions as events
from projects.errors import Conflict, Forbidden, Invalid, NotThere
from projects.models import Project, ProjectQuerySet, User
from projects.roles import Right

SCREENS_MAX = 100  # standing, of one user
# Writing "last seen" at every look would make each read a write.
SEEN_RESOLUTION = timedelta(minutes=1)


@dataclass(frozen=True)
class Wanted:
    """What a screen is to be. `projects` count where not `every_project`."""

    name: str
    views: list[list[str]]
    every_project: bool
    projects: Sequence[Project]
    seconds: int = 20
    theme: str = Screen.Theme.DARK
    zoom: int = Screen.Zoom.USUAL
    shows_prompts: bool = False

    @property
    def values(self) -> dict[str, Any]:
        """Those that are columns."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "projects"}

    @property
    def told(self) -> dict[str, Any]:
        """As events have it."""
        return {**self.values, "projects": sorted(project.slug for project in self.projects)}


@transaction.atomic
def make(wanted: Wanted, *, by: User) -> tuple[Screen, str]:
    """A new screen, and the key of its address, which cannot be had again.

    Raises `Invalid`, `Forbidden`, or `Conflict` where its maker has too many.
    """
    _check(wanted, by)
    if Screen.objects.standing().filter(created_by=by).count() >= SCREENS_MAX:
        raise Conflict(f"You have {SCREENS_MAX} wall screens. Revoke some that nobody looks at any more.")
    key = _fresh_key()
    screen = Screen.objects.create(created_by=by, digest=Screen.digest_of(key), **wanted.values)
    screen.projects.set(wanted.projects)
    _tell("screen.made", screen, by, **wanted.told)
    return screen, key


@transaction.atomic
def change(screen: Screen, wanted: Wanted, *, by: User) -> None:
    """Its address stays, and it shows the change at once. Raises `Invalid` or `Forbidden`."""
    _check(wanted, by)
    before = _told(screen)
    for name, value in wanted.values.items():
        setattr(screen, name, value)
    screen.save(update_fields=[*wanted.values])
    screen.projects.set(wanted.projects)
    _tell("screen.changed", screen, by, before=before, **wanted.told)


@transaction.atomic
def rotate(screen: Screen, *, by: User) -> str:
    """A new key: the old address shows nothing from now on. Raises `Conflict` for a screen that was revoked."""
    key = _fresh_key()
    if not Screen.objects.standing().filter(pk=screen.pk).update(digest=Screen.digest_of(key)):
        raise Conflict("This screen was revoked: make a new one.")
    _tell("screen.rotated", screen, by)
    return key


@transaction.atomic
def revoke(screen: Screen, *, by: User) -> None:
    """Its address shows nothing from now on. Nothing happens to one that was revoked already."""
    if Screen.objects.standing().filter(pk=screen.pk).update(revoked_at=timezone.now()):
        _tell("screen.revoked", screen, by)


def managed(user: User) -> ScreenQuerySet:
    """The screens that the user may change: their own, those of projects that they manage, or as administrator all."""
    found = Screen.objects.standing().select_related("created_by").prefetch_related("projects")
    if user.administers:
        return found
    theirs = offered(user)
    others = Project.objects.exclude(pk__in=theirs.values("pk"))
    inside = Screen.objects.filter(every_project=False, projects__in=theirs).exclude(projects__in=others)
    return found.filter(Q(created_by=user) | Q(pk__in=inside.values("pk")))


def find(number: int, *, by: User) -> Screen:
    """The screen of that number. Raises `NotThere`."""
    if screen := managed(by).filter(pk=number).first():
        return screen
    raise NotThere("There is no such wall screen that you may change.")


def offered(user: User) -> ProjectQuerySet:
    """The projects that the user may put on a wall."""
    return Project.objects.permitted(user, Right.MANAGE).order_by("slug")


def by_key(key: str) -> Screen | None:
    """The screen whose address holds this key; None where it was revoked, or never was."""
    found = Screen.objects.standing().select_related("created_by")
    return found.filter(digest=Screen.digest_of(key)).first()


def seen(screen: Screen, address: str | None) -> None:
    """Note that somebody looks at it, and from where."""
    now = timezone.now()
    if screen.last_seen_at is None or now - screen.last_seen_at > SEEN_RESOLUTION:
        Screen.objects.filter(pk=screen.pk).update(last_seen_at=now, last_seen_ip=address)


def _fresh_key() -> str:
    return secrets.token_urlsafe(32)


def _check(wanted: Wanted, by: User) -> None:
    if not any(wanted.views):
        raise Invalid("A screen needs at least one block to show.")
    if wanted.every_project and not by.administers:
        raise Forbidden("Only administrators can show every project on a wall. Choose those that you manage.")
    if not wanted.every_project and not wanted.projects:
        raise Invalid("Choose at least one project to show.")
    if {one.pk for one in wanted.projects} - set(offered(by).values_list("pk", flat=True)):
        raise Forbidden("You can put only such projects on a wall as you manage.")


def _told(screen: Screen) -> dict[str, Any]:
    values = {each.name: getattr(screen, each.name) for each in fields(Wanted) if each.name != "projects"}
    return {**values, "projects": sorted(screen.projects.values_list("slug", flat=True))}


def _tell(kind: str, screen: Screen, by: User, **data: Any) -> None:
    """Where it shows one project alone, that project's events hold it as well."""
    only = list(screen.projects.all()[:2]) if not screen.every_project else []
    project_id = only[0].pk if len(only) == 1 else None
    said = {"name": screen.name, **data}
    events.record(kind, subject=screen.subject, project_id=project_id, by=by.username, **said)
