"""What the cluster has besides our guests: nodes, storages, and VMs that nobody accounts for."""

from django.db import models
from django.utils import timezone

from proxmox.storage_kinds import Abilities, abilities


class Node(models.Model):
    """A node of the cluster, since when it is there or away, and how large and how full it was when last looked at."""

    name = models.CharField(max_length=60, primary_key=True)
    online = models.BooleanField(default=True)
    since = models.DateTimeField(default=timezone.now)
    # None where Proxmox does not tell: for a while after a boot, and to a token without Sys.Audit.
    processors = models.PositiveIntegerField(null=True)
    cpu = models.FloatField(null=True)  # the share of them that was busy, 0–1
    memory_bytes = models.BigIntegerField(null=True)
    memory_used_bytes = models.BigIntegerField(null=True)
    seen_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Storage(models.Model):
    """A storage as one node has it; what can be branched and gone back to depends on its kind."""

    name = models.CharField(max_length=100)
    node = models.CharField(max_length=60)
    kind = models.CharField(max_length=30)
    chain = models.BooleanField(default=False)
    total_bytes = models.BigIntegerField(null=True)  # None where Proxmox does not tell
    available_bytes = models.BigIntegerField(null=True)
    seen_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["node", "name"]
        constraints = [models.UniqueConstraint(fields=["node", "name"], name="storage_once_per_node")]

    def __str__(self) -> str:
        return f"{self.name} on {self.node}"

    def abilities(self, image_format: str) -> Abilities:
        """What can be done with disks of that format."""
        return abilities(self.kind, chain=self.chain, image_format=image_format)


class StrayQuerySet(models.QuerySet["Stray"]):
    def to_be_shown(self) -> "StrayQuerySet":
        return self.filter(confirmed=True, ignored_by="")


class Stray(models.Model):
    """A VM that carries our mark or is in our pool, and that no guest of ours accounts for. Never touched unasked."""

    vmid = models.PositiveIntegerField(primary_key=True)
    node = models.CharField(max_length=60)
    name = models.CharField(max_length=200, blank=True)
    description = models.TextField(blank=True)
    owner = models.CharField(max_length=36, blank=True)  # the id in its description
    why = models.CharField(max_length=200)
    first_seen_at = models.DateTimeField(default=timezone.now)
    # Seen a second time, so it is none that is just being made or removed by hand.
    confirmed = models.BooleanField(default=False)
    ignored_by = models.CharField(max_length=150, blank=True)

    objects = StrayQuerySet.as_manager()

    class Meta:
        ordering = ["vmid"]

    def __str__(self) -> str:
        return f"VM {self.vmid}"
