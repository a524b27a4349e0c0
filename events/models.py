"""The event table, its chain of digests, and the signed heads. Rows are appended, never edited: PostgreSQL refuses it.

What writes the chain are triggers (`sql/chain.sql`); what checks it is `chain.verify`.
"""

from django.contrib.postgres.indexes import GinIndex
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

# The words that `q` searches. An expression of the database's own: the index and the query have to agree on it.
WORDS_OF = "jsonb_to_tsvector('simple', %(expressions)s, '[\"string\", \"numeric\"]')"
WORDS = models.Func(models.F("data"), template=WORDS_OF)


class Event(models.Model):
    """A fact that happened: audit trail, outbox and source of the live pages in one."""

    at = models.DateTimeField(auto_now_add=True)
    kind = models.CharField(max_length=60)  # "machine.running"
    subject = models.CharField(max_length=80)  # "machine:<uuid>"
    project_id = models.UUIDField(null=True)
    actor = models.CharField(max_length=150)
    # What the actor is, and how the request came in that this was done for: see `context.Source`.
    actor_kind = models.CharField(max_length=10, db_default="", default="")
    interface = models.CharField(max_length=10, db_default="", default="")
    token = models.CharField(max_length=80, db_default="", default="")
    address = models.CharField(max_length=45, db_default="", default="")
    request_id = models.CharField(max_length=64, db_default="", default="")
    data = models.JSONField(default=dict, encoder=DjangoJSONEncoder)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["subject", "-id"], name="event_by_subject"),
            models.Index(fields=["project_id", "-id"], name="event_by_project"),
            models.Index(fields=["kind", "-id"], name="event_by_kind"),
            models.Index(fields=["actor", "-id"], name="event_by_actor"),
            models.Index(fields=["at"], name="event_by_time"),
            models.Index(fields=["request_id"], condition=~models.Q(request_id=""), name="event_by_request"),
            models.Index(fields=["token", "-id"], condition=~models.Q(token=""), name="event_by_token"),
            models.Index(fields=["address", "-id"], condition=~models.Q(address=""), name="event_by_address"),
            GinIndex(WORDS, name="event_by_words"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"


class Link(models.Model):
    """The place of an event in the chain: its digest covers the event and the digest before it.

    No foreign key: checking one would need the right to update events, which nobody has.
    """

    position = models.BigIntegerField(primary_key=True)
    event_id = models.BigIntegerField(unique=True)
    digest = models.CharField(max_length=64)

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return f"{self.position}: event {self.event_id}"


class Head(models.Model):
    """That the chain was so long and ended so, signed with a key that the database does not hold."""

    position = models.BigIntegerField()
    digest = models.CharField(max_length=64)
    signed_at = models.DateTimeField()
    key = models.CharField(max_length=64)  # the public one
    signature = models.CharField(max_length=128)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.position}: {self.digest[:12]}"
