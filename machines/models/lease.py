"""Leases: the stretches of time for which machines have compute held. `machines.limits.compute` is the only writer."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q


class Lease(models.Model):
    """A stretch of a machine's running, and the hold for it. A machine's leases follow each other without a gap.

    It is gone once what was used in it is settled by what was measured; what it came to is in the ledger.
    """

    machine = models.ForeignKey("machines.Machine", models.CASCADE, related_name="leases")
    reservation_id = models.UUIDField(unique=True)
    began_at = models.DateTimeField()
    until = models.DateTimeField()  # as long as the hold lasts
    ended_at = models.DateTimeField(null=True)
    # By resource, what a second uses at most, in millionths of its unit.
    rates: "models.JSONField[dict[str, int], dict[str, int]]" = models.JSONField()
    # The resources that had a limit when it began; the others are only counted.
    limited = ArrayField(models.CharField(max_length=20), default=list)

    class Meta:
        ordering = ["began_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["machine"], condition=Q(ended_at=None), name="one_open_lease_per_machine"
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(ended_at__gte=F("began_at")), name="lease_ends_after_it_began"
            ),
        ]

    def __str__(self) -> str:
        return f"lease of {self.machine_id} from {self.began_at:%H:%M:%S}"
