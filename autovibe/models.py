"""What is kept of calls: the answers of keys that may come again, and how many calls of the API each caller made."""

from datetime import timedelta

from django.db import models
from django.utils import timezone

KEPT_FOR = timedelta(hours=24)


class KeptAnswer(models.Model):
    """The answer to a POST with an `Idempotency-Key`, or where a form with a key led (`autovibe.repeats`).

    With a header, the row is written in the transaction of what was done; of forms, nothing is sealed.
    """

    digest = models.CharField(max_length=64, primary_key=True)  # of caller, address and key; of a form, too
    body_digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    sealed = models.BinaryField(default=b"")  # the answer of the API; it may hold a secret that is shown once
    location = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return self.digest[:12]

    @classmethod
    def forget_old(cls) -> None:
        """Nobody sends a request again after so long."""
        cls.objects.filter(created_at__lt=timezone.now() - KEPT_FOR).delete()


class CallCount(models.Model):
    """How often somebody called in their present minute. The table is unlogged: it may be lost in a crash."""

    caller = models.CharField(max_length=200, primary_key=True)
    began_at = models.DateTimeField()
    calls = models.PositiveIntegerField()

    def __str__(self) -> str:
        return self.caller
