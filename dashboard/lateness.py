"""What takes longer than usual on a machine, and since when it has printed nothing: said only where it is true."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from dashboard import words
from dashboard.logs import Window
from dashboard.progress import Progress
from machines.models import Machine
from machines.states import State
from operations import usual

if TYPE_CHECKING:
    from dashboard.machine import Totals

QUIET = timedelta(minutes=2)
LEAST = 15.0  # seconds: what is shorter is not worth a sentence
TIMES = 2  # the median
ENOUGH = 5  # calls; of fewer nobody can say what is usual


def quiet_since(machine: Machine, log: Window | None) -> datetime | None:
    """When a running machine printed its last line, if that is some time ago; `log` is what is known of its log."""
    if machine.state != State.RUNNING:
        return None
    if log and not log.newer:
        last = datetime.fromisoformat(log.lines[-1].at) if log.lines else None
    else:
        last = machine.log.order_by("-id").values_list("at", flat=True).first()
    return last if last and timezone.now() - last > QUIET else None


def sentence(machine: Machine, progress: Progress | None, sums: "Totals") -> str:
    """About the operation under way, else about the model call that is open; "" where all is as usual."""
    if progress and not progress.broken:
        return _of_operation(progress)
    return _of_call(sums) if machine.state == State.RUNNING else ""


def _of_operation(progress: Progress) -> str:
    began = progress.operation.started_at
    median = usual.seconds([progress.operation.verb]).get(progress.operation.verb)
    if began is None or median is None:
        return ""
    return _told(progress.title, (timezone.now() - began).total_seconds(), median)


def _of_call(sums: "Totals") -> str:
    if sums.open_since is None or sums.median_ms is None or sums.answered < ENOUGH:
        return ""
    lasts = (timezone.now() - sums.open_since).total_seconds()
    return _told(f"Model call {sums.open_number}", lasts, sums.median_ms / 1000)


def _told(what: str, seconds: float, median: float) -> str:
    if seconds < max(LEAST, TIMES * median):
        return ""
    return f"{what} is taking longer than usual: {words.elapsed(seconds)} (median {words.lasted(median)})."
