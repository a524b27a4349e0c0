"""Users, projects, grants and API tokens. Permissions hang on the project; everything below inherits them."""

import hashlib
import secrets
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from django.contrib.auth.models import AbstractUser
from django.core.validators import RegexValidator
from django.db import models
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase
from guardian.shortcuts import get_objects_for_user

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser


class User(AbstractUser):
    """Whoever acts: a person, or a machine on behalf of its project."""

    class Kind(models.TextChoices):
        PERSON = "person"
        MACHINE = "machine"

    kind = models.CharField(max_length=10, choices=Kind, default=Kind.PERSON)


class ProjectQuerySet(models.QuerySet["Project"]):
    def permitted(self, user: "User | AnonymousUser", permission: str) -> "ProjectQuerySet":
        """Projects where `user` holds `permission` (`view_project`, `operate_machines`, …)."""
        if not user.is_authenticated:
            return self.none()
        granted = get_objects_for_user(user, f"projects.{permission}", klass=self, accept_global_perms=False)
        return cast("ProjectQuerySet", granted)


HUB = "primary"
NAME = RegexValidator(
    r"^[a-z][a-z0-9-]*$", "Use lower-case letters, digits and hyphens, starting with a letter."
)


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
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(greediness__gte=0, greediness__lte=1), name="greediness_is_from_0_to_1"
            )
        ]
        permissions = [
            ("operate_machines", "Can spawn, pause, roll back and terminate machines"),
            ("manage_budgets", "Can change budgets"),
            ("manage_project", "Can change members and settings"),
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def subject(self) -> str:
        return f"project:{self.id}"


class ProjectUserObjectPermission(UserObjectPermissionBase):
    """A grant to a user; a direct foreign key keeps guardian's queries free of casts."""

    content_object = models.ForeignKey(Project, models.CASCADE)


class ProjectGroupObjectPermission(GroupObjectPermissionBase):
    """A grant to a group."""

    content_object = models.ForeignKey(Project, models.CASCADE)


class ApiToken(models.Model):
    """A named key to the API for one user. Only its hash is kept; the key is shown once."""

    user = models.ForeignKey(User, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=60)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @staticmethod
    def digest_of(key: str) -> str:
        return hashlib.sha256(key.encode()).hexdigest()

    @classmethod
    def mint(cls, user: User, name: str) -> tuple["ApiToken", str]:
        """A new token and its key; the key cannot be had again."""
        key = f"av_{secrets.token_urlsafe(32)}"
        token = cls.objects.create(user=user, name=name, prefix=key[:8], digest=cls.digest_of(key))
        return token, key
