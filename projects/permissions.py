"""The one check behind pages, API and sockets: the project is visible, so is the right held?"""

from collections.abc import Collection
from typing import Protocol

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from projects.models import Project, User
from projects.roles import Right


class Made(Protocol):
    """What somebody made in a project: a machine, a checkpoint of one, an operation."""

    @property
    def project(self) -> Project: ...
    @property
    def creator_id(self) -> int | None: ...


def require(user: User | AnonymousUser, right: str, project: Project) -> None:
    """Raises `PermissionDenied` (403) for members without the right; outsiders never get this far (404)."""
    if not user.has_perm(f"projects.{right}", project):
        raise PermissionDenied


def operates(user: User | AnonymousUser, made: Made) -> bool:
    """Whether they may operate it: everything of the project, or, who may spawn, what they made themselves."""
    if user.has_perm(f"projects.{Right.OPERATE}", made.project):
        return True
    own = made.creator_id is not None and made.creator_id == user.pk
    return own and user.has_perm(f"projects.{Right.SPAWN}", made.project)


def operates_with(rights: Collection[str], user: User, made: Made) -> bool:
    """The same for somebody whose rights in its project are known."""
    own = made.creator_id is not None and made.creator_id == user.pk
    return Right.OPERATE in rights or (own and Right.SPAWN in rights)


def require_operating(user: User | AnonymousUser, made: Made) -> None:
    """Raises `PermissionDenied` (403) for members who may not operate it."""
    if not operates(user, made):
        raise PermissionDenied


def require_administration(user: User | AnonymousUser) -> None:
    """Raises `PermissionDenied` (403) for whoever may not act on the whole system."""
    if not acting(user).administers:
        raise PermissionDenied


def acting(user: User | AnonymousUser) -> User:
    """The signed-in user. Interfaces call it behind their login check."""
    assert isinstance(user, User)
    return user


class ForStaff(BasePermission):
    """What concerns the whole system, over REST."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return bool(getattr(request.user, "administers", False))
