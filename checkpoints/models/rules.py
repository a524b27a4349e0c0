"""What a project says of its checkpoints: when they are taken, and how long they are kept."""

from django.db import models

from projects.models import Project


class Rules(models.Model):
    """A project's departures from the defaults; what it does not say is left to the machine type and the settings."""

    project = models.OneToOneField(Project, models.CASCADE, primary_key=True, related_name="checkpoint_rules")
    policy: "models.JSONField[dict[str, object], dict[str, object]]" = models.JSONField(default=dict)
    retention: "models.JSONField[dict[str, int], dict[str, int]]" = models.JSONField(default=dict)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "rules"

    def __str__(self) -> str:
        return f"rules of {self.project_id}"
