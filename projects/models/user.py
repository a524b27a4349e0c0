"""Whoever acts."""

from typing import Any

from django.apps import apps
from django.contrib.auth.models import AbstractUser
from django.db import models

from projects.bounds import Bounds


class User(AbstractUser):
    """A person, or a machine, a hub or a screen on behalf of those who set it up."""

    class Kind(models.TextChoices):
        PERSON = "person"
        MACHINE = "machine"
        HUB = "hub"
        SCREEN = "screen"

    kind = models.CharField(max_length=10, choices=Kind, default=Kind.PERSON)

    # Set by whoever authenticates a request by a token; None: all that the user may.
    bounds: Bounds | None = None

    @property
    def subject(self) -> str:
        return f"user:{self.pk}"

    @property
    def administers(self) -> bool:
        """Whether they may act on the whole system, with the token in use."""
        allowed = self.bounds is None or self.bounds.administers
        return self.is_active and (self.is_staff or self.is_superuser) and allowed

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Rights on a project are those of `Project.objects.permitted`, which lists go by as well."""
        project = apps.get_model("projects", "Project")
        if isinstance(obj, project):
            right = perm.removeprefix("projects.")
            return bool(project.objects.permitted(self, right).filter(pk=obj.pk).exists())
        return (self.bounds is None or self.administers) and super().has_perm(perm, obj)
