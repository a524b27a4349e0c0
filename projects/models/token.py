"""Named keys to the API."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from projects.bounds import Bounds
from projects.models.project import Project
from projects.models.user import User
from projects.roles import ADMINISTER, Right

EVERYTHING = (*Right, ADMINISTER)


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def alive(self) -> "ApiTokenQuerySet":
        """Neither expired nor revoked, of users who are active."""
        unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        return self.filter(unexpired, revoked_at=None, user__is_active=True)


class ApiToken(models.Model):
    """A key for one user, of which only the hash is kept. It can do no more than its user, and no more than it says."""

    user = models.ForeignKey(User, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=60)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    scopes = ArrayField(models.CharField(max_length=30), default=list)  # of `roles.Right` and `ADMINISTER`
    project = models.ForeignKey(Project, models.CASCADE, null=True, blank=True)  # the only one; null: all
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_used_ip = models.GenericIPAddressField(null=True, blank=True)
    # The token that minted it; what ends that one ends this one.
    parent = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="children")

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = "API token"
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def state(self) -> str:
        """alive, expired or revoked."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= timezone.now() else "alive"

    @property
    def bounds(self) -> Bounds:
        return Bounds(frozenset(self.scopes), self.project_id, self.expires_at, self.pk)

    @staticmethod
    def digest_of(key: str) -> str:
        return hashlib.sha256(key.encode()).hexdigest()

    @classmethod
    def mint(
        cls,
        user: User,
        name: str,
        *,
        scopes: Iterable[str] = EVERYTHING,
        project: Project | None = None,
        expires_at: datetime | None = None,
        parent: "ApiToken | None" = None,
    ) -> tuple["ApiToken", str]:
        """A new token and its key; the key cannot be had again."""
        key = f"av_{secrets.token_urlsafe(32)}"
        token = cls.objects.create(
            user=user,
            name=name,
            prefix=key[:8],
            digest=cls.digest_of(key),
            scopes=sorted(scopes),
            project=project,
            expires_at=expires_at,
            parent=parent,
        )
        return token, key
