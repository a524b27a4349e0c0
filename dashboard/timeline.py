"""What happened to a machine, as spans of time: its operations, model calls, tools, checkpoints and waits.

How they are drawn is `dashboard.waterfall`'s part.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from audit.grammar import moment
from checkpoints.models import Checkpoint
from dashboard import progress
from events.models import Event
from gateway.models import Call
from machines.models import Machine
from operations.models import Operation

ROWS = 100
TOOLS_FROM = timedelta(milliseconds=200)  # less between two calls is the agent's own overhead
PAUSED, GONE_ON = (
    "machine.paused",
    ("machine.resuming", "machine.restoring", "machine.stopping", "machine.failed"),
)
OPEN = (Call.State.ADMITTED, Call.State.STREAMING)


@dataclass(frozen=True)
class Part:
    """A stretch of a span, of one look: `wait`, `work` or `held`."""

    look: str
    began: datetime
    ended: datetime


@dataclass(frozen=True)
class Span:
    """One thing that took time. `kind` is machine, model, tools, checkpoint or wait; `same` what equal ones share."""

    kind: str
    name: str
    parts: tuple[Part, ...]
    address: str = ""
    same: str = ""
    said: str = ""
    lasts: bool = False
    links: tuple[tuple[str, str], ...] = ()  # what belongs to it: words and addresses

    @property
    def began(self) -> datetime:
        return self.parts[0].began

    @property
    def ended(self) -> datetime:
        return max(part.ended for part in self.parts)


def of(machine: Machine, before: datetime) -> tuple[list[Span], bool]:
    """The latest spans that began before that time, oldest first, and whether there are older ones. Five queries."""
    calls = _calls(machine, before)
    kept = _kept(machine, before)
    until = min(before, machine.ended_at or before)  # a call that nobody closed ended with its machine
    waits = _pauses(machine, before)
    spans = [
        *_operations(machine, before),
        *(_call(machine, call, until, kept) for call in calls),
        *(_checkpoint(machine, one, before) for one in kept),
        *waits,
        *_messages(machine, before),
    ]
    spans += _tools(machine, calls, [span for span in spans if span.kind in {"machine", "wait"}], until)
    spans.sort(key=lambda span: (span.began, span.ended))
    return spans[-ROWS:], len(spans) > ROWS


def _operations(machine: Machine, before: datetime) -> Iterator[Span]:
    """Automatic checkpoints are operations, too; they are told from their own rows."""
    found = Operation.objects.filter(subject=machine.subject, created_at__lt=before).exclude(
        verb="checkpoint"
    )
    for one in found.order_by("-created_at")[: ROWS + 1]:
        end, began = min(one.finished_at or before, before), min(one.started_at or before, before)
        parts = [Part("wait", one.created_at, began), Part("work", began, max(began, end))]
        yield Span(
            "machine",
            progress.title(one),
            tuple(part for part in parts if part.ended > part.began) or (parts[1],),
            reverse("dashboard:operation", args=[one.pk]),
            said=one.error,
            lasts=one.finished_at is None,
        )


def _calls(machine: Machine, before: datetime) -> list[Call]:
    found = Call.objects.filter(machine=machine, started_at__lt=before)
    return list(found.order_by("-started_at")[: ROWS + 1])[::-1]


def _end(call: Call, before: datetime) -> datetime:
    """When its answer was there; one that is open has not ended yet."""
    if call.duration_ms is None:
        return before if call.state in OPEN else call.started_at
    return min(call.started_at + timedelta(milliseconds=call.duration_ms), before)


def _call(machine: Machine, call: Call, before: datetime, kept: Iterable[Checkpoint]) -> Span:
    end = _end(call, before)
    held = timedelta(milliseconds=call.stall_ms)
    first = call.started_at + timedelta(milliseconds=call.first_byte_ms) if call.first_byte_ms else end
    first, answered = min(first, end), max(call.started_at, end - held)
    parts = (
        Part("wait", call.started_at, min(first, answered)),
        Part("work", min(first, answered), answered),
        Part("held", answered, end),
    )
    return Span(
        "model",
        f"Call {call.number}",
        tuple(part for part in parts if part.ended > part.began) or (parts[0],),
        _address(machine, call.number),
        same=f"{call.model} {call.state}",
        said=call.error or call.model,
        lasts=call.state in OPEN and not machine.ended_at,
        links=tuple(
            (f"c{one.number}", reverse("dashboard:checkpoint", args=[one.handle]))
            for one in kept
            if one.call_number == call.number
        ),
    )


def _address(machine: Machine, call: int) -> str:
    return f"{reverse('dashboard:machine', args=[machine.handle])}?tab=cost#call-{call}"


def _tools(machine: Machine, calls: list[Call], others: Iterable[Span], before: datetime) -> Iterator[Span]:
    """Between the end of an answer and the next call the agent is at work, unless the machine was held up."""
    busy = [(span.began, span.ended) for span in others]
    for call, following in pairwise(calls):
        began, ended = _end(call, before), following.started_at
        overlapping = any(start < ended and end > began for start, end in busy)
        if ended - began >= TOOLS_FROM and not overlapping:
            yield Span(
                "tools",
                "Tools",
                (Part("work", began, ended),),
                said=f"between calls {call.number} and {following.number}",
                links=((f"Call {call.number}", _address(machine, call.number)),),
            )


def _kept(machine: Machine, before: datetime) -> list[Checkpoint]:
    found = Checkpoint.objects.of(machine.subject).filter(created_at__lt=before).order_by("-number")
    needed = ("handle", "number", "name", "why", "state", "created_at", "captured_at", "error", "call_number")
    return list(found.only(*needed)[: ROWS + 1])


def _checkpoint(machine: Machine, one: Checkpoint, before: datetime) -> Span:
    end = min(one.captured_at or (before if one.state == "requested" else one.created_at), before)
    call = one.call_number
    return Span(
        "checkpoint",
        f"Checkpoint c{one.number}",
        (Part("work", one.created_at, max(end, one.created_at)),),
        reverse("dashboard:checkpoint", args=[one.handle]),
        said=one.error or one.name or one.why,
        lasts=one.state == "requested",
        links=((f"Call {call}", _address(machine, call)),) if call else (),
    )


def _pauses(machine: Machine, before: datetime) -> list[Span]:
    kinds = Q(kind__in=(PAUSED, *GONE_ON))
    found = Event.objects.filter(kinds, subject=machine.subject, at__lt=before).order_by("-id")[: 2 * ROWS]
    spans, began = [], None
    for event in reversed(found):
        if event.kind == PAUSED:
            began = event.at
        elif began:
            spans.append(Span("wait", "Paused", (Part("wait", began, event.at),)))
            began = None
    if began:
        spans.append(Span("wait", "Paused", (Part("wait", began, before),), lasts=True))
    return spans


def _messages(machine: Machine, before: datetime) -> Iterator[Span]:
    for one in machine.messages.filter(created_at__lt=before).order_by("-id")[: ROWS + 1]:
        end = min(one.delivered_at or machine.ended_at or before, before)
        yield Span(
            "wait",
            "A message waited",
            (Part("wait", one.created_at, max(end, one.created_at)),),
            f"{reverse('dashboard:machine', args=[machine.handle])}#said-{one.pk}",
            said=f"{one.author}: {str(one)[:80]}",
            lasts=one.delivered_at is None and not machine.ended,
        )


def until(asked: str, shown: datetime | None) -> datetime:
    """Up to when it is told: a time that was asked for, the scrubber's, else now."""
    latest = shown or timezone.now()
    return min(moment(asked) or latest, latest)
