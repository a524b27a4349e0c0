"""A project and all that somebody may do in it, asked at once; a right by itself is asked by `projects.permissions`."""

from collections.abc import Hashable

from django.db.models import Exists, OuterRef

from projects.errors import NotThere
from projects.models import Project, User
from projects.roles import Right


def of(project: Project, user: User) -> frozenset[Right]:
    """The rights that `user` holds in it with the token in use. One query."""
    found = Project.objects.filter(pk=project.pk).annotate(**_held(user)).values(*Right).first()
    return frozenset(right for right in Right if found and found[right.value])


def find(slug: str, user: User) -> tuple[Project, frozenset[Right]]:
    """The project, and the rights that `user` holds in it with the token in use. One query. Raises `NotThere`."""
    if found := Project.objects.filter(slug=slug).annotate(**_held(user)).first():
        rights = frozenset(right for right in Right if getattr(found, right.value))
        if Right.VIEW in rights:
            return found, rights
    raise NotThere(f"There is no project {slug!r} that you may see.")


def everywhere(user: User) -> Hashable:
    """What is equal for two who see and may do the same, with the tokens in use. One query; for superusers none."""
    if user.is_superuser and user.bounds is None:
        return "everything"
    found = Project.objects.permitted(user, Right.VIEW).annotate(**_held(user))
    return user.administers, tuple(found.order_by("pk").values_list("pk", *Right))


def _held(user: User) -> dict[str, Exists]:
    return {
        right.value: Exists(Project.objects.permitted(user, right).filter(pk=OuterRef("pk")))
        for right in Right
    }
