"""What guests used, minute by minute, and the last reading of their counters. `guests.usage` is the only writer."""

from typing import Any

from django.db import models


class Amounts(models.Model):
    """Bytes through a guest's disks and network."""

    disk_read_bytes = models.BigIntegerField(default=0)
    disk_written_bytes = models.BigIntegerField(default=0)
    received_bytes = models.BigIntegerField(default=0)
    sent_bytes = models.BigIntegerField(default=0)

    NAMES = ("disk_read_bytes", "disk_written_bytes", "received_bytes", "sent_bytes")

    class Meta:
        abstract = True

    @property
    def amounts(self) -> dict[str, Any]:
        """All four, by name."""
        return {name: getattr(self, name) for name in self.NAMES}


class Usage(Amounts):
    """What a guest used in the minute that began at `at`. Memory is what it had at the end of it."""

    guest = models.ForeignKey("guests.Guest", models.CASCADE, related_name="usage", db_index=False)
    at = models.DateTimeField()
    cpu_seconds = models.FloatField()
    memory_bytes = models.BigIntegerField()

    class Meta:
        ordering = ["at"]
        constraints = [models.UniqueConstraint(fields=["guest", "at"], name="usage_once_per_minute")]
        indexes = [models.Index(fields=["at"], name="usage_by_time")]

    def __str__(self) -> str:
        return f"{self.guest_id} at {self.at:%Y-%m-%d %H:%M}"


class Meter(Amounts):
    """A guest's counters as they were last read, and the minutes before that which nobody has measured."""

    guest = models.OneToOneField("guests.Guest", models.CASCADE, primary_key=True, related_name="meter")
    at = models.DateTimeField()
    uptime_seconds = models.PositiveIntegerField(default=0)
    processors = models.PositiveIntegerField(default=0)
    processors_used = models.FloatField(default=0)
    gap_from = models.DateTimeField(null=True)
    gap_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.guest_id} at {self.at:%Y-%m-%d %H:%M}"
