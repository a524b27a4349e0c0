"""What admins say of prices: pages of the price book, and past spans that were priced anew."""

from django.db import models

from projects.models import Project


class PriceOverride(models.Model):
    """A page of the price book: what an admin says a model costs from then on. The latest counts; none is edited."""

    model = models.CharField(max_length=100)
    prices: "models.JSONField[dict[str, str], dict[str, str]]" = (
        models.JSONField()
    )  # units per million tokens
    withdrawn = models.BooleanField(default=False)  # from here on the list's price counts again
    note = models.CharField(max_length=200, blank=True)
    actor = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.model} (edition {self.pk})"


class Rerating(models.Model):
    """A past span was priced anew: from when to when, with which edition, and what it came to."""

    project = models.ForeignKey(Project, models.CASCADE, null=True, related_name="+")  # null: all
    since = models.DateTimeField()
    until = models.DateTimeField()
    price_version = models.CharField(max_length=80)
    entries = models.PositiveIntegerField(default=0)  # how many were corrected
    micros = models.BigIntegerField(default=0)  # by how much in all
    actor = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"rerating {self.pk}"
