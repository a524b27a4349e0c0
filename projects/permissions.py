"""The one check behind pages, API and sockets: the project is visible, so is the right held?"""

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from projects.models import Project, User


def require(user: User | AnonymousUser, permission: str, project: Project) -> None:
    """Raises `PermissionDenied` (403) for members without the right; outsiders never get this far (404)."""
    if not user.has_perm(f"projects.{permission}", project):
        raise PermissionDenied


def acting(user: User | AnonymousUser) -> User:
    """The signed-in user. Interfaces call it behind their login check."""
    assert isinstance(user, User)
    return user


class ForStaff(BasePermission):
    """What concerns the whole system, over REST."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return bool(request.user.is_staff or request.user.is_superuser)
