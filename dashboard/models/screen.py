"""Screens that hang on walls. Their verbs are `dashboard.screens`', what they show is `dashboard.wall`'s."""

import hashlib

from django.conf import settings
from django.db import models

from projects.models import Project, ProjectQuerySet
from projects.roles import Right


class ScreenQuerySet(models.QuerySet["Screen"]):
    def standing(self) -> "ScreenQuerySet":
        """Those that were not revoked."""
        return self.filter(revoked_at=None)


class Screen(models.Model):
    """A page that shows itself to whoever has its address, of which only the hash is kept; it can be read, no more."""

    class Theme(models.TextChoices):
        DARK = "dark", "Dark"
        LIGHT = "light", "Light"
        AUTO = "auto", "As the device has it"

    class Zoom(models.IntegerChoices):
        SMALL = 75, "75 %"
        USUAL = 100, "100 %"
        LARGE = 125, "125 %"
        HUGE = 150, "150 %"

    name = models.CharField(max_length=60)
    digest = models.CharField(max_length=64, unique=True)
    # Names of `dashboard.wall.blocks`: each list is one view, and they take turns.
    views = models.JSONField(default=list)
    seconds = models.PositiveIntegerField(default=20)  # that each view is shown
    theme = models.CharField(max_length=5, choices=Theme, default=Theme.DARK)
    zoom = models.PositiveSmallIntegerField(choices=Zoom, default=Zoom.USUAL)
    every_project = models.BooleanField(default=False)  # that its maker may see, those to come included
    projects = models.ManyToManyField(Project, blank=True, related_name="+")
    shows_prompts = models.BooleanField(default=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="screens")
    created_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField(null=True)
    last_seen_ip = models.GenericIPAddressField(null=True)
    revoked_at = models.DateTimeField(null=True)

    objects = ScreenQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def subject(self) -> str:
        return f"screen:{self.pk}"

    @property
    def sight(self) -> ProjectQuerySet:
        """The projects that it shows: never more than whoever made it may see now."""
        seen = Project.objects.permitted(self.created_by, Right.VIEW)
        return seen if self.every_project else seen.filter(pk__in=self.projects.values("pk"))

    @staticmethod
    def digest_of(key: str) -> str:
        return hashlib.sha256(key.encode()).hexdigest()
