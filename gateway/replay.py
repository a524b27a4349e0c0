"""Answer a call from the record of an earlier run: the call that said the same, as it was answered then.

No upstream is asked. The record is searched by the shape of the request, then by what it says (`gateway.likeness`),
so that an agent's parallel calls may come in any order. An agent that says something else is told so, and its machine
ends; a lenient replay goes on with the answer that is next.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from gateway import database, likeness, record
from gateway.admitted import Admission
from gateway.errors import Refused
from gateway.models import Recording, Replayed
from gateway.record import Bodies
from gateway.secrets import Unreadable
from gateway.upstreams.transport import BrokenOff, Response
from machines import actions as machines
from machines.models import Machine


class Departed(Refused):
    """The agent says what it did not say in the record; asking again is of no use."""

    def __init__(self, sentence: str) -> None:
        super().__init__(409, sentence)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What was found for a call."""

    recording: Recording
    name: str  # of the call that was recorded, as in "m12/3"
    bodies: Bodies
    paced: bool


@asynccontextmanager
async def respond(admission: Admission) -> AsyncIterator[Response]:
    """The recorded answer in the form of an upstream's. Raises `Departed`; the machine is on its way to its end then.

    Also raises `BrokenOff`, where the answer broke off when it was recorded.
    """
    found = await database.run(_find, admission)
    recording = found.recording
    yield Response(
        status=recording.status,
        headers=[
            (b"content-type", recording.content_type.encode("latin-1")),
            (b"x-autovibe-replay", found.name.encode()),
        ],
        request_id="",
        chunks=_pieces(found),
        streams=_streams(recording),
    )


async def _pieces(found: _Answer) -> AsyncIterator[bytes]:
    began, at = time.monotonic(), 0
    for size, milliseconds in found.bodies.pieces:
        if found.paced:
            await asyncio.sleep(max(0.0, milliseconds / 1000 - (time.monotonic() - began)))
        yield found.bodies.response[at : at + size]
        at += size
    if not found.recording.complete:
        raise BrokenOff("The answer broke off here when it was recorded.")


def _find(admission: Admission) -> _Answer:
    try:
        return _claimed(admission)
    except Departed as departed:
        sentence = str(departed)
    except Unreadable as error:
        sentence = f"The record cannot be read: {error}"
    machines.depart(admission.machine.id, sentence)
    raise Departed(sentence)


@transaction.atomic
def _claimed(admission: Admission) -> _Answer:
    """Search the record, and note what was found. One call of a machine at a time."""
    locked = Machine.objects.select_for_update(of=("self",), no_key=True).select_related(
        "guest", "replays__guest"
    )
    machine = locked.get(pk=admission.machine.id)
    if machine.replays is None:
        raise Departed("The machine whose run is replayed is not there any more.")
    search = _Search(admission, machine, machine.replays)
    recording, departure = search.same(), ""
    if recording is None:
        departure = search.departure()
        recording = search.next() if machine.replays_leniently else None
    if recording is None:
        raise Departed(departure + search.hint())
    Replayed.objects.create(call_id=admission.call_id, original_id=recording.call_id, departure=departure)
    name = f"{machine.replays.handle}/{recording.call.number}"
    return _Answer(recording, name, record.opened(recording), machine.replays_paced)


class _Search:
    """One call against the record of the original."""

    def __init__(self, admission: Admission, machine: Machine, original: Machine) -> None:
        self._request, self._original, self._lenient = admission.request, original, machine.replays_leniently
        self._number = admission.number
        self._names = {name for one in (machine, original) for name in (one.handle, str(one.guest.vmid))}
        self._sent = likeness.normal(self._request.raw, self._names)
        self._shape = likeness.shape(self._request.parsed)
        self._record = list(record.replayable(original))
        given = Replayed.objects.filter(call__machine=machine).order_by("-call__number")
        self._given = list(given.values_list("original_id", flat=True))

    def same(self) -> Recording | None:
        """The recording of the same request.

        Where there are several: of the latest run, as a run that was rolled back is void; there the first that was
        not given yet; and when an agent asks again, as after a hang-up, the one that was given last.
        """
        alike = sorted((each for each in self._record if each.shape == self._shape), key=self._order)
        return next((each for each in alike if self._read(each) == self._sent), None)

    def next(self) -> Recording | None:
        """The first that was not given yet, of the same shape if there is one, and in a form the agent can read."""
        fitting = [each for each in self._fresh() if _streams(each) == self._request.stream]
        return next(iter([each for each in fitting if each.shape == self._shape] or fitting), None)

    def departure(self) -> str:
        """How the request differs from the one that would have been next."""
        fresh, handle = self._fresh(), self._original.handle
        if not fresh:
            return f"Call {self._number} departs from the record of {handle}, which ends before it."
        expected = next((each for each in fresh if each.shape == self._shape), fresh[0])
        how = _storable(likeness.difference(self._read(expected), self._sent))
        return f"Call {self._number} departs from call {expected.call.number} of {handle}: {how}."

    def hint(self) -> str:
        return (
            ""
            if self._lenient
            else f" To go on all the same: bin/autovibe replay {self._original.handle} --lenient"
        )

    def _fresh(self) -> list[Recording]:
        return [each for each in self._record if each.call_id not in self._given]

    def _order(self, recording: Recording) -> tuple[int, int, int]:
        last_of_run = max(each.call.number for each in self._record if each.run == recording.run)
        given = self._given.index(recording.call_id) + 1 if recording.call_id in self._given else 0
        return -last_of_run, given, recording.call.number

    def _read(self, recording: Recording) -> dict[str, Any]:
        return likeness.normal(record.opened(recording).request, self._names)


def _storable(text: str) -> str:
    """Without what JSON can say and PostgreSQL cannot keep: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _streams(recording: Recording) -> bool:
    return recording.content_type.startswith("text/event-stream")
