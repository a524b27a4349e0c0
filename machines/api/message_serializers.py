"""Messages as the API shows and takes them."""

from typing import Any

from rest_framework import serializers

from machines.actions.spawn import PROMPT_CHARACTERS_MAX
from machines.models import Message


class MessageSerializer(serializers.ModelSerializer[Message]):
    state = serializers.ChoiceField(
        ["pending", "delivered", "undelivered"],
        read_only=True,
        help_text="Undelivered: the machine ended before its agent heard it.",
    )
    told = serializers.CharField(read_only=True, help_text="When its agent hears it, in words.")

    class Meta:
        model = Message
        fields = ["id", "author", "text", "state", "told", "at_once", "created_at", "delivered_at"]
        read_only_fields = fields
        extra_kwargs = {"at_once": {"help_text": "It does not wait for the agent to end its turn."}}


class SaySerializer(serializers.Serializer[Any]):
    text = serializers.CharField(
        trim_whitespace=False,
        max_length=PROMPT_CHARACTERS_MAX,
        help_text="The next turn of the agent's conversation.",
    )
    now = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Interrupt a running agent, after a checkpoint, instead of waiting until it ends its turn.",
    )
