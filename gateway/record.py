"""The record of a machine's calls, read: bodies, what of it can be replayed, and what is missing."""

import json
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from gateway import recordings
from gateway.models import Call, Recording
from gateway.recordings import Pieces
from gateway.secrets import Unreadable
from machines.models import Machine

# Clients ask again after these, and a replay need not wait for that. https://docs.claude.com/en/api/errors
_ASKED_AGAIN = Q(status__in=(408, 409, 429)) | Q(status__gte=500)


@dataclass(frozen=True, slots=True)
class Bodies:
    """What was asked and answered. The answer's pieces: bytes, and milliseconds since it began."""

    request: bytes
    response: bytes
    pieces: Pieces


def opened(recording: Recording) -> Bodies:
    """Decrypted; a body that was too large to be kept is empty. Raises `Unreadable`, naming the call."""
    try:
        request = recordings.unsealed(recording.request) if recording.request else b""
        timed, _, response = (
            recordings.unsealed(recording.response).partition(b"\n")
            if recording.response
            else (b"[]", b"", b"")
        )
    except Unreadable as error:
        raise Unreadable(f"Call {recording.call.number}: {error}") from None
    return Bodies(request, response, [(size, at) for size, at in json.loads(timed)])


def replayable(machine: Machine) -> QuerySet[Recording]:
    """Recordings that can answer a call again, in order, their bodies left for later."""
    kept = Recording.objects.filter(call__machine=machine, request__isnull=False, response__isnull=False)
    return (
        kept.exclude(_ASKED_AGAIN)
        .select_related("call")
        .defer("request", "response")
        .order_by("call__number")
    )


def missing(machine: Machine) -> Call | None:
    """The first call that was answered and that no recording can answer again."""
    answered = Call.objects.filter(machine=machine, status__isnull=False).exclude(_ASKED_AGAIN)
    return answered.exclude(pk__in=replayable(machine).values("pk")).order_by("number").first()
