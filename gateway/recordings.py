"""What a call said, kept as its project's policy has it: compressed, encrypted, for some days.

An answer is taken down as it passes, a list of pieces and their times. Everything else happens when the call is over,
in a thread; what cannot be recorded is logged and missing, and the agent never hears of it.
"""

import asyncio
import json
import logging
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import zstandard
from django.conf import settings
from django.utils import timezone

from gateway import database, likeness, redaction, secrets
from gateway.admitted import Admission
from gateway.models import Recording, RecordingMode, RecordingPolicy
from gateway.upstreams.transport import Response

logger = logging.getLogger(__name__)

BODY_BYTES_MAX = 8 * 1024**2
WAITING_BYTES_MAX = 64 * 1024**2  # of recordings that wait for the database; more are given up
POLICY_SECONDS = 5.0  # how long a process goes by what it has read
PRUNED_AT_ONCE = 500
PURPOSE = "recording"

Pieces = list[tuple[int, int]]  # bytes, and milliseconds since the answer began


@dataclass(frozen=True, slots=True)
class Policy:
    mode: str
    days: int


class Recorder(Protocol):
    """Takes one call down."""

    def begin(self, response: Response) -> None:
        """The upstream answers."""

    def chunk(self, piece: bytes) -> None:
        """It said this, just now."""

    def end(self) -> None:
        """That was all of it."""

    def finish(self) -> None:
        """The call is over. Returns at once; the rest is done in a thread."""


def recorder(admission: Admission) -> Recorder:
    """What takes the call down; where nothing is to be kept, one that does nothing."""
    known = _policies.get(admission.machine.project_id)
    if admission.machine.replays_id or (known and known[1].mode == RecordingMode.OFF and _is_fresh(known[0])):
        return _Silent()
    return _Recorder(admission)


def policy_of(project_id: UUID) -> Policy:
    """What holds for a project: its own policy, or the installation's."""
    own = RecordingPolicy.objects.filter(project_id=project_id).first()
    if own:
        return Policy(own.mode, own.days)
    return Policy(settings.GATEWAY_RECORDING, settings.GATEWAY_RECORDING_DAYS)


async def close() -> None:
    """Write what this event loop has taken down."""
    if (writer := _writers.pop(asyncio.get_running_loop(), None)) and writer.work:
        await writer.work


def prune() -> int:
    """Delete what is past its time, in batches; returns how many."""
    deleted = 0
    while True:
        due = Recording.objects.filter(expires_at__lt=timezone.now()).values("pk")[:PRUNED_AT_ONCE]
        gone, _ = Recording.objects.filter(pk__in=due).delete()
        deleted += gone
        if gone < PRUNED_AT_ONCE:
            return deleted


def sealed(content: bytes) -> bytes:
    """Compressed, then encrypted. Fernet writes base64, which a column of bytes has no need of."""
    compressed = zstandard.ZstdCompressor().compress(content)
    return urlsafe_b64decode(secrets.seal(PURPOSE, compressed))


def unsealed(content: bytes | memoryview) -> bytes:
    """What was sealed. Raises `secrets.Unreadable`."""
    return zstandard.ZstdDecompressor().decompress(secrets.unseal(PURPOSE, urlsafe_b64encode(bytes(content))))


def resealed(content: bytes) -> bytes | None:
    """As `secrets.resealed`, of what is kept of a call."""
    renewed = secrets.resealed(PURPOSE, urlsafe_b64encode(content))
    return renewed and urlsafe_b64decode(renewed)


class _Silent:
    def begin(self, response: Response) -> None: ...
    def chunk(self, piece: bytes) -> None: ...
    def end(self) -> None: ...
    def finish(self) -> None: ...


class _Recorder:
    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._began = 0.0
        self._status = 0
        self._content_type = ""
        self._size = 0
        self._pieces: list[bytes] = []
        self._times: list[float] = []
        self._complete = False

    def begin(self, response: Response) -> None:
        self._began, self._status = time.monotonic(), response.status
        kinds = (
            value.decode("latin-1") for name, value in response.headers if name.lower() == b"content-type"
        )
        self._content_type = next(kinds, "")[:100]

    def chunk(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= BODY_BYTES_MAX:
            self._pieces.append(piece)
            self._times.append(time.monotonic())
        else:
            self._pieces.clear()

    def end(self) -> None:
        self._complete = True

    def finish(self) -> None:
        if self._status:  # else nobody answered
            _writer().add(self)

    @property
    def weight(self) -> int:
        """Bytes of memory that it takes."""
        return self._size + len(self._admission.request.raw)

    def recording(self) -> Recording | None:
        """What is to be kept of it."""
        policy = _policy(self._admission.machine.project_id)
        if policy.mode == RecordingMode.OFF:
            return None
        request, now = self._admission.request, timezone.now()
        redacted = policy.mode == RecordingMode.REDACTED
        return Recording(
            call_id=self._admission.call_id,
            mode=policy.mode,
            run=self._admission.machine.run,
            shape=likeness.shape(request.parsed),
            request=_sealed_request(request.raw, redacted=redacted),
            request_bytes=len(request.raw),
            response=self._sealed_response(redacted=redacted),
            response_bytes=self._size,
            status=self._status,
            content_type=self._content_type,
            complete=self._complete,
            recorded_at=now,
            expires_at=now + timedelta(days=policy.days),
        )

    def _sealed_response(self, *, redacted: bool) -> bytes | None:
        if self._size > BODY_BYTES_MAX:
            return None
        times = [round((moment - self._began) * 1000) for moment in self._times]
        pieces, content = [len(piece) for piece in self._pieces], b"".join(self._pieces)
        timed = list(zip(pieces, times, strict=True))
        if redacted:
            timed, content = _redacted(timed, content, streams="event-stream" in self._content_type)
        return sealed(json.dumps(timed).encode() + b"\n" + content)


def _sealed_request(raw: bytes, *, redacted: bool) -> bytes | None:
    if len(raw) > BODY_BYTES_MAX:
        return None
    return sealed(redaction.body(raw) if redacted else raw)


def _redacted(pieces: Pieces, content: bytes, *, streams: bool) -> tuple[Pieces, bytes]:
    """The answer without secrets. A stream then comes an event at a time, each when its last byte had come."""
    if not streams:
        safe = redaction.body(content)
        return [(len(safe), pieces[-1][1] if pieces else 0)], safe
    events, timed, passed = redaction.events(content), [], 0
    arrivals = iter(pieces)
    arrived = at = 0
    for before, after in events:
        passed += before
        while arrived < passed:
            size, at = next(arrivals)
            arrived += size
        timed.append((len(after), at))
    return timed, b"".join(after for _, after in events)


class _Writer:
    """Writes what has come while it wrote the last: one statement for many calls when there are many."""

    def __init__(self) -> None:
        self._waiting: list[_Recorder] = []
        self._bytes = 0
        self.work: asyncio.Task[None] | None = None

    def add(self, recorder: _Recorder) -> None:
        self._bytes += recorder.weight
        if self._bytes > WAITING_BYTES_MAX:
            self._bytes -= recorder.weight
            logger.warning("A call is not recorded: the database is behind.")
            return
        self._waiting.append(recorder)
        if self.work is None:
            self.work = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while batch := self._waiting:
            self._waiting = []
            try:
                await database.run(_save, batch)
            except Exception:
                logger.exception("%s calls could not be recorded.", len(batch))
            self._bytes -= sum(recorder.weight for recorder in batch)
        self.work = None


def _save(batch: list[_Recorder]) -> None:
    Recording.objects.bulk_create(list(filter(None, (recorder.recording() for recorder in batch))))


_writers: dict[asyncio.AbstractEventLoop, _Writer] = {}


def _writer() -> _Writer:
    return _writers.setdefault(asyncio.get_running_loop(), _Writer())


_policies: dict[UUID, tuple[float, Policy]] = {}


def _policy(project_id: UUID) -> Policy:
    known = _policies.get(project_id)
    if known is None or not _is_fresh(known[0]):
        known = _policies[project_id] = (time.monotonic(), policy_of(project_id))
    return known[1]


def _is_fresh(moment: float) -> bool:
    return time.monotonic() - moment < POLICY_SECONDS
