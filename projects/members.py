"""The members of a project: users and groups, each with a role. What roles may do is in `roles`."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import Group
from django.contrib.postgres.aggregates import ArrayAgg
from django.db import transaction
from django.db.models import Count, Q

from events import actions as events
from projects import actions, tokens
from projects.errors import Conflict, Forbidden, Invalid, NotThere
from projects.models import Project, ProjectGroupObjectPermission, ProjectUserObjectPermission, User
from projects.roles import RIGHTS, Right, Role, role_of

CUSTOM = "custom"  # rights that are no role's, granted one by one in the admin
GROUP = "group:"  # how the names of groups begin, as `actions.name_of` has it
RANKS = {role.value: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True)
class Member:
    """A user, or a group and how many people are in it."""

    name: str
    rights: frozenset[str]
    people: int

    @property
    def role(self) -> str:
        return role_of(self.rights) or CUSTOM

    @property
    def is_group(self) -> bool:
        return self.name.startswith(GROUP)


def of(project: Project) -> list[Member]:
    """All of them, owners first. The group of the project's own machines is none of them."""
    return of_each([project])[project.pk]


def of_each(projects: Iterable[Project]) -> dict[UUID, list[Member]]:
    """Those of many projects, by the projects' ids; two queries for any number."""
    found: dict[UUID, list[Member]] = {project.pk: [] for project in projects}
    for project_id, member in (*_users(found), *_groups(found)):
        found[project_id].append(member)
    for members in found.values():
        members.sort(key=lambda one: (RANKS.get(one.role, len(RANKS)), one.is_group, one.name))
    return found


def _users(projects: Iterable[UUID]) -> Iterator[tuple[UUID, Member]]:
    grants = ProjectUserObjectPermission.objects.filter(content_object__in=projects)
    rows = grants.values("content_object_id", "user__username", "user__is_active", "user__kind")
    for row in rows.annotate(rights=ArrayAgg("permission__codename")):
        person = row["user__is_active"] and row["user__kind"] == User.Kind.PERSON
        member = Member(row["user__username"], frozenset(row["rights"]), int(person))
        yield row["content_object_id"], member


def _groups(projects: Iterable[UUID]) -> Iterator[tuple[UUID, Member]]:
    grants = ProjectGroupObjectPermission.objects.filter(content_object__in=projects)
    rows = grants.exclude(group__name__startswith=actions.MACHINES).values("content_object_id", "group__name")
    people = Count(
        "group__user",
        distinct=True,
        filter=Q(group__user__is_active=True, group__user__kind=User.Kind.PERSON),
    )
    for row in rows.annotate(rights=ArrayAgg("permission__codename", distinct=True), people=people):
        member = Member(f"{GROUP}{row['group__name']}", frozenset(row["rights"]), row["people"])
        yield row["content_object_id"], member


def find(project: Project, name: str) -> Member:
    """The member of that name. Raises `NotThere`."""
    if found := next((one for one in of(project) if one.name == name), None):
        return found
    raise NotThere(f"{name} is no member of {project.slug}.")


@transaction.atomic
def set_role(project: Project, name: str, role: Role, *, by: User) -> None:
    """Let somebody in, or give a member another role. `name` is a user's, or "group:" and a group's.

    Raises `Invalid` for who cannot be a member, `Forbidden` for rights that `by` does not hold, and `Conflict` where
    nobody would own the project any more.
    """
    _lock(project)
    whom = _named(name)
    before = actions.rights_of(whom, project)
    if before == RIGHTS[role]:
        return
    require_all(by, RIGHTS[role] | before, project)
    with _still_owned(project):
        actions.admit(project, whom, role, by=by)
    _settle(project, whom, by=by)


@transaction.atomic
def remove(project: Project, name: str, *, by: User) -> None:
    """Take a member out. Their tokens for this project alone are revoked, their open pages close; machines go on.

    Raises `NotThere` for who is none, and as `set_role` does. Whoever leaves by themselves need hold no rights.
    """
    _lock(project)
    whom = _named(name)
    before = actions.rights_of(whom, project)
    if not before:
        raise NotThere(f"{name} is no member of {project.slug}.")
    if whom != by:
        require_all(by, before, project)
    with _still_owned(project):
        actions.dismiss(project, whom, by=by)
    _settle(project, whom, by=by)


def set_machine_role(project: Project, role: Role | None, *, by: User) -> None:
    """As `actions.set_machine_role`; raises `Forbidden` for rights that `by` does not hold, too."""
    require_all(by, RIGHTS[role] if role else (), project)
    actions.set_machine_role(project, role, by=by)


def require_all(by: User, rights: Iterable[str], project: Project) -> None:
    """Raises `Forbidden` unless `by` holds every one of the rights, with the token in use: nobody gives more away."""
    lacking = [right for right in rights if not by.has_perm(f"projects.{right}", project)]
    if lacking:
        raise Forbidden(
            f"That takes rights that you do not hold in {project.slug} yourself: {', '.join(sorted(lacking))}."
        )


def _lock(project: Project) -> None:
    """Two owners who remove each other do so one after the other."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)


@contextmanager
def _still_owned(project: Project) -> Iterator[None]:
    """What is done meanwhile may not take a project its last owner."""
    had_one = _is_owned(project)
    yield
    if had_one and not _is_owned(project):
        raise Conflict(f"{project.slug} needs an owner: make somebody else one first.")


def _is_owned(project: Project) -> bool:
    return any(one.role == Role.OWNER and one.people for one in of(project))


def _named(name: str) -> User | Group:
    whom: User | Group | None
    if name.startswith(GROUP):
        whom = Group.objects.filter(name=name.removeprefix(GROUP)).first()
        machine = name.startswith(GROUP + actions.MACHINES)
    else:
        whom = User.objects.filter(username=name, is_active=True).first()
        machine = bool(whom and whom.kind == User.Kind.MACHINE)
    if machine:
        raise Invalid("Machines are no members: the project says what its own machines may do, all together.")
    if whom is None:
        kind = "group" if name.startswith(GROUP) else "user"
        raise NotThere(f"There is no {kind} {name.removeprefix(GROUP)!r}. Invite whoever has no account yet.")
    return whom


def _settle(project: Project, whom: User | Group, *, by: User) -> None:
    """Whoever is out is out at once."""
    people = [whom] if isinstance(whom, User) else whom.user_set.all()
    for user in people:
        if not Project.objects.permitted(_afresh(user), Right.VIEW).filter(pk=project.pk).exists():
            tokens.end_in(project, user, by=by)
        events.ring("member.removed", subject=user.subject)


def _afresh(user: User) -> User:
    """Without the bounds of the token that somebody changes their own membership with."""
    return User.objects.get(pk=user.pk)
