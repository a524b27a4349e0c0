"""What agents printed."""

from django.db import models

from machines.models.machine import Machine


class LogLine(models.Model):
    """A line that an agent, or its supervisor, printed."""

    machine = models.ForeignKey(Machine, models.CASCADE, related_name="log")
    run = models.UUIDField()
    number = models.PositiveIntegerField()  # within the run; gives at-least-once delivery its key
    at = models.DateTimeField()
    stream = models.CharField(max_length=3)  # out, err, sys; say: what people said to the agent
    text = models.TextField()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["machine", "run", "number"], name="log_line_once")]

    def __str__(self) -> str:
        return self.text
