"""Effects: what agents did that no checkpoint takes back, as the gateway saw it in their tool calls."""

from django.db import models

from projects.models import Project


class Effect(models.Model):
    """Something that reached the world outside the guest: a push, a pull request, a mail."""

    class Kind(models.TextChoices):
        PUSH = "push"
        PULL_REQUEST = "pull_request"
        PUBLISH = "publish"
        MESSAGE = "message"
        DEPLOY = "deploy"
        REQUEST = "request"  # written to some service

    project = models.ForeignKey(Project, models.CASCADE)
    origin = models.CharField(max_length=80)  # "machine:<uuid>"
    tool_use = models.CharField(
        max_length=100
    )  # the agent's own id of the tool call: seen again, it is the same
    call_number = models.PositiveIntegerField()  # the model call that brought its result
    kind = models.CharField(max_length=15, choices=Kind)
    summary = models.CharField(max_length=300)  # the command, cut off
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["call_number", "id"]
        constraints = [models.UniqueConstraint(fields=["origin", "tool_use"], name="effect_once")]

    def __str__(self) -> str:
        return self.summary
