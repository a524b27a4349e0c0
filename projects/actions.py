"""What may be asked of projects: create one, let somebody in."""

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from guardian.shortcuts import assign_perm

from events import actions as events
from projects.errors import Conflict, Invalid, NotThere
from projects.models import Project, User

OWNER = ("view_project", "operate_machines", "manage_budgets", "manage_project")
OPERATOR = ("view_project", "operate_machines")
VIEWER = ("view_project",)


@transaction.atomic
def create(*, slug: str, name: str = "", by: User) -> Project:
    """A new project, owned by `by`. Raises `Invalid` for a bad slug and `Conflict` for a taken one."""
    project = Project(slug=slug, name=name or slug)
    try:
        project.clean_fields()
        with transaction.atomic():
            project.save(force_insert=True)
    except ValidationError as error:
        raise Invalid(" ".join(error.messages)) from None
    except IntegrityError:
        raise Conflict(f"There is a project {slug} already.") from None
    admit(project, by, OWNER, by=by)
    events.record("project.created", subject=project.subject, project_id=project.id, by=by.username)
    return project


@transaction.atomic
def admit(project: Project, user: User, permissions: tuple[str, ...], *, by: User) -> None:
    """Grant `user` the given permissions on the project."""
    for permission in permissions:
        assign_perm(f"projects.{permission}", user, project)
    events.record(
        "project.member_admitted",
        subject=project.subject,
        project_id=project.id,
        by=by.username,
        member=user.username,
        permissions=list(permissions),
    )


def find(slug: str, *, user: User | AnonymousUser) -> Project:
    """The project of that name, if `user` may see it."""
    visible = Project.objects.permitted(user, "view_project")
    if project := visible.filter(slug=slug).first():
        return project
    known = ", ".join(visible.values_list("slug", flat=True)[:10]) or "none yet"
    raise NotThere(f"There is no project {slug!r} that you may see. Yours: {known}.")
