"""What may be asked of projects: create one, let somebody in."""

from decimal import Decimal
from typing import cast

from django.contrib.auth.models import AnonymousUser, Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from guardian.shortcuts import assign_perm, get_users_with_perms, remove_perm

from events import actions as events
from projects.errors import Conflict, Forbidden, Invalid, NotThere
from projects.models import NAME, Project, User
from projects.roles import MACHINE_ROLES, RIGHTS, Right, Role, role_of

MACHINES = "machines of "  # how the names of the groups of machines begin


@transaction.atomic
def create(*, slug: str, name: str = "", by: User) -> Project:
    """A new project, owned by `by`. Raises `Invalid` for a bad slug, `Conflict` for a taken one, and `Forbidden`."""
    _require_creating(by)
    project = Project(slug=slug, name=name or slug)
    try:
        project.clean_fields()
        with transaction.atomic():
            project.save(force_insert=True)
    except ValidationError as error:
        raise Invalid(" ".join(error.messages)) from None
    except IntegrityError:
        raise Conflict(f"There is a project {slug} already.") from None
    admit(project, by, Role.OWNER, by=by)
    events.record("project.created", subject=project.subject, project_id=project.id, by=by.username)
    return project


def _require_creating(by: User) -> None:
    """Whoever makes a project owns it: a token that manages none, or is for one alone, would lead beyond itself."""
    if by.kind != User.Kind.PERSON:
        raise Forbidden("Projects are made by people.")
    if by.bounds and (by.bounds.project_id or Right.MANAGE not in by.bounds.rights):
        raise Forbidden(f"That takes a token for all of your projects that has the scope {Right.MANAGE}.")


@transaction.atomic
def admit(project: Project, whom: User | Group, role: Role, *, by: User) -> None:
    """Give a user or a group a role on the project, instead of the one that they have."""
    before = role_of(rights_of(whom, project))
    for right in Right:
        (assign_perm if right in RIGHTS[role] else remove_perm)(f"projects.{right}", whom, project)
    events.record(
        "project.member_admitted",
        subject=project.subject,
        project_id=project.id,
        by=by.username,
        member=name_of(whom),
        role=role,
        before=before,
    )


@transaction.atomic
def dismiss(project: Project, whom: User | Group, *, by: User) -> None:
    """Take every right on the project from a user or a group."""
    before = role_of(rights_of(whom, project))
    for right in Right:
        remove_perm(f"projects.{right}", whom, project)
    events.record(
        "project.member_dismissed",
        subject=project.subject,
        project_id=project.id,
        by=by.username,
        member=name_of(whom),
        before=before,
    )


def rights_of(whom: User | Group, project: Project) -> frozenset[str]:
    """What was granted to exactly them on exactly this project."""
    grants = (
        whom.projectuserobjectpermission_set
        if isinstance(whom, User)
        else whom.projectgroupobjectpermission_set
    )
    found = grants.filter(content_object=project).values_list("permission__codename", flat=True)
    return frozenset(found)


def name_of(whom: User | Group) -> str:
    """How members are named: users by their names, groups as "group:name"."""
    return whom.username if isinstance(whom, User) else f"group:{whom.name}"


@transaction.atomic
def set_machine_role(project: Project, role: Role | None, *, by: User) -> None:
    """What the project's own machines may do in it, by the API and MCP; None: nothing. Raises `Invalid`."""
    if role is not None and role not in MACHINE_ROLES:
        raise Invalid(f"Machines may be {' or '.join(MACHINE_ROLES)} in their project, or nothing.")
    before = project.machine_role
    group = machines_of(project)
    if role is None:
        dismiss(project, group, by=by)
    else:
        admit(project, group, role, by=by)
    Project.objects.filter(pk=project.pk).update(machine_role=role or "")
    project.refresh_from_db(fields=["machine_role"])
    events.record(
        "project.machine_role_set",
        subject=project.subject,
        project_id=project.id,
        by=by.username,
        machine_role=role or "",
        before=before,
    )


def machines_of(project: Project) -> Group:
    """The group that the project's machines are in."""
    group, _ = Group.objects.get_or_create(name=f"{MACHINES}{project.id}")
    return group


@transaction.atomic
def set_greediness(project: Project, greediness: Decimal, *, by: User) -> None:
    """How much the project wants of a pool that it shares with others, from 0 to 1. Raises `Invalid`."""
    if not greediness.is_finite() or not 0 <= greediness <= 1 or greediness != round(greediness, 2):
        raise Invalid("Greediness is a number from 0 to 1, with at most two decimals.")
    before = project.greediness
    Project.objects.filter(pk=project.pk).update(greediness=greediness)
    project.refresh_from_db(fields=["greediness"])
    events.record(
        "project.greediness_set",
        subject=project.subject,
        project_id=project.id,
        by=by.username,
        greediness=str(greediness),
        before=str(before),
    )


@transaction.atomic
def set_hub(project: Project, hub: str, *, by: User) -> None:
    """Give the project to another hub, whose limits hold for it from its next call on. Raises `Invalid`."""
    try:
        NAME(hub)
    except ValidationError as error:
        raise Invalid(error.messages[0]) from None
    if len(hub) > 40:
        raise Invalid("The name of a hub has at most 40 characters.")
    before = project.hub
    Project.objects.filter(pk=project.pk).update(hub=hub)
    project.refresh_from_db(fields=["hub"])
    events.record(
        "project.hub_set",
        subject=project.subject,
        project_id=project.id,
        by=by.username,
        hub=hub,
        before=before,
    )


def find(slug: str, *, user: User | AnonymousUser) -> Project:
    """The project of that name, if `user` may see it."""
    visible = Project.objects.permitted(user, "view_project")
    if project := visible.filter(slug=slug).first():
        return project
    known = ", ".join(visible.values_list("slug", flat=True)[:10]) or "none yet"
    raise NotThere(f"There is no project {slug!r} that you may see. Yours: {known}.")


def named(slug: str) -> Project:
    """The project of that name, for staff, who need not be its members."""
    if project := Project.objects.filter(slug=slug).first():
        return project
    raise NotThere(f"There is no project {slug!r}.")


def members(project: Project) -> QuerySet[User]:
    """Everybody who may see the project, by name."""
    found = get_users_with_perms(project, only_with_perms_in=["view_project"])
    return cast("QuerySet[User]", found).order_by("username")


def member(project: Project, username: str) -> User:
    """The member of that name. Raises `Invalid`, naming who there is."""
    found = members(project)
    if user := found.filter(username=username).first():
        return user
    known = ", ".join(found.values_list("username", flat=True)[:10])
    raise Invalid(f"{username!r} is no member of {project.slug}. Members: {known}.")
