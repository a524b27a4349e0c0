"""How somebody wants the pages to look and to speak up; the theme is each browser's own."""

from django.conf import settings
from django.db import models


class Preferences(models.Model):
    """One row per person who has ever chosen something; without one, the defaults hold."""

    class Density(models.TextChoices):
        COMFORTABLE = "comfortable", "Comfortable"
        COMPACT = "compact", "Compact"

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="preferences"
    )
    zone = models.CharField(max_length=60, blank=True)  # of the times shown; "" is the browser's
    density = models.CharField(max_length=12, choices=Density, default=Density.COMFORTABLE)
    single_keys = models.BooleanField(default=True)  # keys that act without Ctrl, Alt or Meta
    notifies = models.BooleanField(default=False)  # by the browser, when more needs this person
    sounds = models.BooleanField(default=False)  # with each of those notifications

    def __str__(self) -> str:
        return f"preferences of {self.user}"
