"""The ledger: what was used, and how limits changed. Its partitions and its trigger are in the migrations."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models

from budgets.resources import COMPUTE
from projects.models import Project

# Longer than anything is held.
_HELD_AT_MOST = timedelta(days=1)


def months_of(since: datetime, until: datetime) -> tuple[date, date]:
    """The first and the last `month` of what was used in that span: without them, every partition is searched.

    What is used after midnight may be of the month before, in which it was held. What later corrected the use of
    older months is left out.
    """
    first, last = (since - _HELD_AT_MOST).astimezone(UTC), until.astimezone(UTC)
    return first.date().replace(day=1), last.date().replace(day=1)


class LedgerEntry(models.Model):
    """A fact: consumption, or a change of a limit. Appended, never edited: a trigger refuses it.

    The table is partitioned by `month`, which is that of what the entry belongs to, so that a key said twice meets
    itself in the same partition (see the migrations). `windows` and `amounts` are the double entry: what it changed
    in each balance. Balances can be derived from them alone.
    """

    class Kind(models.TextChoices):
        USAGE = "usage"  # the provider's own figures, or what was measured
        ASSUMED = "assumed"  # the upper bound, because no figures came
        CORRECTION = "correction"  # the difference, once the figures came after all
        RERATING = "rerating"  # the difference to another price
        LIMIT = "limit"  # a limit was set, or a period began
        TRANSFER = "transfer"  # part of a limit went from one budget to another

    id = models.BigAutoField(primary_key=True)
    month = models.DateField()
    key = models.CharField(max_length=120)
    kind = models.CharField(max_length=10, choices=Kind)
    reservation_id = models.UUIDField(null=True)
    project = models.ForeignKey(
        Project, models.DO_NOTHING, null=True, related_name="+", db_constraint=False, db_index=False
    )
    machine_id = models.UUIDField(null=True)
    member_id = models.BigIntegerField(null=True)
    windows = ArrayField(models.BigIntegerField())
    amounts = ArrayField(models.BigIntegerField())
    micros = models.BigIntegerField(default=0)
    calls = models.SmallIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)  # neither read from the cache nor written to it
    cached_tokens = models.BigIntegerField(default=0)  # read from the cache
    cache_write_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)  # of those, the ones kept for an hour
    output_tokens = models.BigIntegerField(default=0)
    wall_seconds = models.BigIntegerField(default=0)
    cpu_seconds = models.BigIntegerField(default=0)
    memory_mb_seconds = models.BigIntegerField(default=0)
    storage_mb_seconds = models.BigIntegerField(default=0)
    network_bytes = models.BigIntegerField(default=0)
    label = models.CharField(max_length=100, blank=True)  # the model, or what else it was used for
    price_version = models.CharField(max_length=80, blank=True)
    actor = models.CharField(max_length=150, blank=True)  # who changed a limit
    created_at = models.DateTimeField()

    CONSUMPTION = ("usage", "assumed", "correction", "rerating")

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "ledger entries"

    def __str__(self) -> str:
        return self.key

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.cached_tokens + self.cache_write_tokens + self.output_tokens

    @property
    def compute(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in sorted(COMPUTE)}
