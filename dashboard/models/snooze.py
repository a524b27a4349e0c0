"""What somebody does not want to be told of for a while."""

from django.conf import settings
from django.db import models


class Snooze(models.Model):
    """One thing that waits for a person, put aside by one of those for whom it does; the others still see it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="snoozes")
    kind = models.CharField(max_length=10)  # machine, request or transfer
    thing = models.CharField(max_length=36)  # its key
    face = models.CharField(max_length=64)  # a digest of what it was like: see `dashboard.snoozing`
    until = models.DateTimeField(null=True)  # None: until it changes

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "kind", "thing"], name="snoozed_once_per_person")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.thing}, for {self.user}"
