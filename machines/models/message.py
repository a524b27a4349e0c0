"""What people say to agents: each text is heard once, as a turn of the conversation. `machines.actions.message` writes.

The author's name is kept beside the account, for a record outlives accounts.
"""

from django.conf import settings
from django.db import models

from machines.models.machine import Machine


class MessageQuerySet(models.QuerySet["Message"]):
    def waiting(self, machine: Machine) -> "MessageQuerySet":
        """What its agent has not heard yet, in the order in which it was said."""
        return self.filter(machine=machine, delivered_at=None).order_by("id")


class Message(models.Model):
    """Something that was said to a machine's agent."""

    machine = models.ForeignKey(Machine, models.CASCADE, related_name="messages")
    text = models.TextField()
    said_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
    author = models.CharField(max_length=150)
    at_once = models.BooleanField(default=False)  # when the machine goes on next, even in the midst of a turn
    created_at = models.DateTimeField(auto_now_add=True)
    run = models.UUIDField(null=True)  # the start of the agent whose prompt holds it
    delivered_at = models.DateTimeField(null=True)  # when that was started

    objects = MessageQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(
                fields=["machine", "id"], condition=models.Q(delivered_at=None), name="message_waiting"
            )
        ]

    def __str__(self) -> str:
        return self.text[:60]

    @property
    def state(self) -> str:
        """Delivered; pending; or undelivered, since the machine ended before."""
        if self.delivered_at:
            return "delivered"
        return "undelivered" if self.machine.ended else "pending"

    @property
    def told(self) -> str:
        """When its agent heard it, or will, in words."""
        if self.state == "undelivered":
            return f"{self.machine.handle} ended before its agent heard it."
        if self.state == "delivered":
            return "Its agent has heard it."
        if self.at_once:
            return "Its agent hears it when the machine goes on."
        return "Its agent hears it when it ends its turn."
