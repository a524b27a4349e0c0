"""What takes longer than usual on a machine, and since when it has printed nothing: said only where it is true."""

from datetime import datetime, timedelta

from django.utils import timezone

from dashboard import words
from dashboard.progress import Progress
from gateway.models import Call
from machines.models import Machine
from machines.states import State
from operations import usual

QUIET = timedelta(minutes=2)
LEAST = 15.0  # seconds: what is shorter is not worth a sentence
TIMES = 2  # the median
CALLS, ENOUGH = 50, 5


def quiet_since(machine: Machine) -> datetime | None:
    """When a running machine printed its last line, if that is some time ago."""
    if machine.state != State.RUNNING:
        return None
    last: datetime | None = machine.log.order_by("-id").values_list("at", flat=True).first()
    return last if last and timezone.now() - last > QUIET else None


def sentence(machine: Machine, progress: Progress | None) -> str:
    """About the operation under way, else about the model call that is open; "" where all is as usual."""
    if progress and not progress.broken:
        return _of_operation(progress)
    return _of_call(machine) if machine.state == State.RUNNING else ""


def _of_operation(progress: Progress) -> str:
    began = progress.operation.started_at
    median = usual.seconds([progress.operation.verb]).get(progress.operation.verb)
    if began is None or median is None:
        return ""
    return _told(progress.title, (timezone.now() - began).total_seconds(), median)


def _of_call(machine: Machine) -> str:
    open_ = Call.objects.filter(machine=machine, state__in=[Call.State.ADMITTED, Call.State.STREAMING])
    call = open_.order_by("-number").first()
    if call is None:
        return ""
    done = Call.objects.filter(machine=machine, state=Call.State.DONE, duration_ms__isnull=False)
    last = done.order_by("-number").values_list("duration_ms", flat=True)[:CALLS]
    took = sorted(one or 0 for one in last)
    if len(took) < ENOUGH:
        return ""
    median = took[len(took) // 2] / 1000
    return _told(f"Model call {call.number}", (timezone.now() - call.started_at).total_seconds(), median)


def _told(what: str, seconds: float, median: float) -> str:
    if seconds < max(LEAST, TIMES * median):
        return ""
    usually = words.milliseconds(round(median * 1000))
    return f"{what} is taking longer than usual: {words.elapsed(seconds)} (median {usually})."
