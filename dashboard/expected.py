"""What a machine is expected to use, in words: on the spawn form, and on its page beside what it did use."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from budgets.money import MICROS
from dashboard import afterwards, words
from machines.forecast import predict
from machines.models import Machine
from projects.models import Project, User

if TYPE_CHECKING:
    from dashboard.machine import Totals

NAMES = {"cost_micros": "Cost", "tokens": "Tokens", "calls": "Model calls", "seconds": "Time"}


@dataclass(frozen=True)
class Line:
    """One figure: between which two it is expected, and most probably how much. `verdict` is of what was used."""

    name: str
    low: str
    middle: str
    high: str
    used: str = ""
    verdict: str = ""  # below, within or above; empty while that is not yet known

    @property
    def between(self) -> str:
        return self.low if self.low == self.high else f"{self.low} to {self.high}"


def of_form(project: Project, user: User, *, type_name: str, prompt: str) -> dict[str, Any]:
    """The context of the spawn form's prediction; without a prompt there is none."""
    if not prompt.strip():
        return {}
    expected = predict.predict(project=project, user=user, type_name=type_name, prompt=prompt)
    ranges = {name: (found.low, found.middle, found.high) for name, found in expected.ranges.items()}
    suggested = expected.suggested_micros
    cost = expected.ranges.get("cost_micros")
    return {
        "afterwards": afterwards.of(project, user, cost) if cost else None,
        "expected": expected,
        "lines": [_line(name, found, project.currency) for name, found in ranges.items()],
        "suggested": suggested and f"{suggested / MICROS:.2f}",
        "suggested_words": suggested and words.money(suggested, project.currency),
        "project": project,
        "calibration": predict.calibration(project),
    }


def of_machine(machine: Machine, sums: "Totals") -> list[Line]:
    """What was expected of the machine, and what it has used up to now; nothing where nothing was expected."""
    kept = predict.of(machine)
    if kept is None:
        return []
    return [
        _line(name, found, machine.project.currency, _used(machine, sums, name), over=machine.ended)
        for name, found in predict.ranges_of(kept).items()
    ]


def _used(machine: Machine, sums: "Totals", name: str) -> int:
    return _seconds(machine) if name == "seconds" else int(getattr(sums, name))


def _seconds(machine: Machine) -> int:
    """How long its agent has run, or ran the last time."""
    if machine.run_started_at is None:
        return 0
    return round(((machine.ended_at or timezone.now()) - machine.run_started_at).total_seconds())


def _line(
    name: str, found: Sequence[int], currency: str, used: int | None = None, *, over: bool = False
) -> Line:
    low, middle, high = found
    less, most_likely, more = (_amount(name, one, currency) for one in (low, middle, high))
    if used is None:
        return Line(NAMES[name], less, most_likely, more)
    verdict = _verdict(used, low, high, over=over)
    return Line(NAMES[name], less, most_likely, more, _amount(name, used, currency), verdict)


def _verdict(used: int, low: int, high: int, *, over: bool) -> str:
    """More than expected is known at once; less only when it is over."""
    if used > high:
        return "above"
    if not over:
        return ""
    return "below" if used < low else "within"


def _amount(name: str, amount: int, currency: str) -> str:
    if name == "cost_micros":
        return words.money(amount, currency)
    if name == "seconds":
        return words.elapsed(amount)
    return words.tokens(amount) if name == "tokens" else f"{amount:,}"
