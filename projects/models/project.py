"""Projects, and who is permitted what on them: the one rule that everything below a project goes by."""

import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

from django.contrib.auth.models import Permission
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Exists, Q

from projects.models.user import User
from projects.roles import WORDS, Right, Role

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

HUB = "primary"
NAME = RegexValidator(
    r"^[a-z][a-z0-9-]*$", "Use lower-case letters, digits and hyphens, starting with a letter."
)


class ProjectQuerySet(models.QuerySet["Project"]):
    def permitted(self, user: "User | AnonymousUser", right: str) -> "ProjectQuerySet":
        """Projects where `user` holds the right (see `roles.Right`), as far as the token in use allows it."""
        if not isinstance(user, User) or not user.is_active:
            return self.none()
        found = self if user.is_superuser else self.filter(_granted(user, right))
        if user.bounds is None:
            return found
        if right not in user.bounds.rights:
            return self.none()
        return found.filter(pk=user.bounds.project_id) if user.bounds.project_id else found


def _granted(user: User, right: str) -> Q:
    """To them, to a group of theirs, or by a system role (`roles.SYSTEM_ROLES`)."""
    own = Project.objects.filter(
        projectuserobjectpermission__user=user, projectuserobjectpermission__permission__codename=right
    )
    groups = Project.objects.filter(
        projectgroupobjectpermission__group__user=user,
        projectgroupobjectpermission__permission__codename=right,
    )
    everywhere = Permission.objects.filter(
        Q(group__user=user) | Q(user=user),
        codename=right,
        content_type__app_label="projects",
        content_type__model="project",
    )
    return Q(pk__in=own.values("pk")) | Q(pk__in=groups.values("pk")) | Q(Exists(everywhere))


class Project(models.Model):
    """What is being evolved; owns machines, checkpoints and budgets."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.CharField(
        max_length=40,
        unique=True,
        validators=[NAME],
    )
    name = models.CharField(max_length=100)
    currency = models.CharField(max_length=3, default="USD")
    # How much it wants of a pool that it shares with others: 0 to 1.
    greediness = models.DecimalField(max_digits=3, decimal_places=2, default=Decimal("0.5"))
    # The hub that orchestrates it. Limits can be set for all projects of a hub together.
    hub = models.CharField(max_length=40, default=HUB)
    # What its own machines may do in it, by the API and MCP: nothing (""), or as a member of that role.
    machine_role = models.CharField(max_length=10, choices=Role, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(greediness__gte=0, greediness__lte=1), name="greediness_is_from_0_to_1"
            )
        ]
        permissions = [(right.value, words) for right, words in WORDS.items() if right != Right.VIEW]

    def __str__(self) -> str:
        return self.slug

    @property
    def subject(self) -> str:
        return f"project:{self.id}"
