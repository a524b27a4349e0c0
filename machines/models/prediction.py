"""What machines were expected to use, and did."""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from machines.models.machine import Machine


def _range() -> "ArrayField[Any, Any]":
    """Low, middle and high: of ten machines like it, eight are expected between the first and the last."""
    return ArrayField(models.BigIntegerField(), size=3, null=True)


class Prediction(models.Model):
    """What a machine was expected to use before it started, and what it did use: the history of the next ones.

    The ranges are null where there was not enough history; what was used is null until the machine has ended.
    """

    machine = models.OneToOneField(Machine, models.CASCADE, primary_key=True, related_name="prediction")
    # Its version: figures of different ones are not compared. Empty where nothing was expected.
    method = models.CharField(max_length=20)
    neighbours = models.PositiveSmallIntegerField(default=0)  # past machines that it was made from
    cost_micros = _range()
    tokens = _range()
    calls = _range()
    seconds = _range()
    suggested_micros = models.BigIntegerField(null=True)  # the limit that was suggested
    sketch = models.BinaryField(default=bytes)  # of the prompt; see `machines.forecast.similarity`
    made_at = models.DateTimeField(auto_now_add=True)

    used_cost_micros = models.BigIntegerField(null=True)
    used_tokens = models.BigIntegerField(null=True)
    used_calls = models.BigIntegerField(null=True)
    used_seconds = models.BigIntegerField(null=True)  # from the start of its last run to its end
    used_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["-used_at"], condition=Q(used_at__isnull=False), name="prediction_known")
        ]

    def __str__(self) -> str:
        return f"prediction for {self.machine_id}"
