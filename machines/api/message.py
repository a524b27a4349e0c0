"""Saying something to a machine's agent over REST, and what was said."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from budgets.api import checked
from machines import actions
from machines.api.message_serializers import MessageSerializer, SaySerializer
from machines.models import Message
from projects.permissions import acting, require_operating


class MachineMessages(ListAPIView[Message]):
    """What was said to its agent since the prompt."""

    serializer_class = MessageSerializer
    queryset = Message.objects.none()

    def get_queryset(self) -> QuerySet[Message]:
        machine = actions.find(self.kwargs["reference"], user=self.request.user)
        return Message.objects.filter(machine=machine).select_related("machine")

    @extend_schema(tags=["machines"], operation_id="machines_messages_list")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Newest first."""
        return self.list(request, *args, **kwargs)

    @extend_schema(
        request=SaySerializer,
        responses={202: MessageSerializer},
        tags=["machines"],
        operation_id="machines_message",
    )
    def post(self, request: Request, reference: str) -> Response:
        """Say something to its agent: its next turn, once it has ended this one, or `now`.

        An agent of a paused machine hears it when the machine is resumed; 409 where none hears anything any more.
        """
        machine = actions.find(reference, user=request.user)
        require_operating(request.user, machine)
        asked = checked(SaySerializer, request.data)
        said = actions.message(machine, asked["text"], by=acting(request.user), now=asked["now"])
        return Response(MessageSerializer(said).data, status=202)
