"""What became of one exchange of an API token for JSON Web Tokens."""

import uuid

from django.db import models
from django.utils import timezone

from projects.models.token import ApiToken


class JwtFamilyQuerySet(models.QuerySet["JwtFamily"]):
    def alive(self) -> "JwtFamilyQuerySet":
        """Neither expired nor revoked, of API tokens that are alive."""
        return self.filter(expires_at__gt=timezone.now(), revoked_at=None, token__in=ApiToken.objects.alive())


class JwtFamily(models.Model):
    """A pair of tokens, and all pairs that were had for it since. One refresh token of them is good at a time."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    token = models.ForeignKey(ApiToken, models.CASCADE, related_name="jwt_families")
    refresh_id = models.UUIDField()  # of the refresh token that is good now
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()  # of that refresh token
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = JwtFamilyQuerySet.as_manager()

    class Meta:
        verbose_name = "JWT family"
        verbose_name_plural = "JWT families"

    def __str__(self) -> str:
        return f"{self.token}, since {self.created_at:%Y-%m-%d %H:%M}"
