"""What a machine will cost, and how long it will take, before it starts: from what machines with like prompts did.

The truth is filled in when a machine has ended; with it the machine becomes history for the next ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from budgets.models import LedgerEntry
from machines.forecast.estimate import Range, estimate, rounded_up
from machines.forecast.similarity import similarities, sketch
from machines.models import Machine, Prediction
from machines.states import ENDED
from projects.models import Project, User

METHOD = "neighbours-1"
FIGURES = ("cost_micros", "tokens", "calls", "seconds")
NEIGHBOURS_MIN, NEIGHBOURS_MAX = 5, 40
PAST_MAX = 5_000  # the newest that are looked through
SUGGESTED_MIN = 50_000  # micros: even a machine that does next to nothing has to read its instructions
# A machine that ended may still have a call being settled.
SETTLING = timedelta(minutes=1)
AT_ONCE = 200
# What one of another model, or of another project, says by comparison; and one whose prompt has nothing in common.
OTHER_MODEL, OTHER_PROJECT, UNLIKE = 0.3, 0.5, 0.001


class _Past(NamedTuple):
    """A machine that has ended."""

    project_id: UUID
    model: str
    sketch: bytes
    cost_micros: int
    tokens: int
    calls: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """`ranges` is by figure, and empty where there is not enough history; `suggested_micros` is a limit that may do."""

    neighbours: int
    ranges: dict[str, Range] = field(default_factory=dict)
    suggested_micros: int | None = None
    sketch: bytes = b""

    @property
    def sentence(self) -> str:
        """Why there is no prediction; empty where there is one."""
        if self.ranges:
            return ""
        return (
            f"Not enough history: a prediction needs {NEIGHBOURS_MIN} machines of this type that have ended, "
            f"and you can see {self.neighbours}."
        )


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of `n` predictions whose machines have ended, how many ranges held the truth, by figure; 80 % are promised."""

    n: int
    inside: dict[str, int]


def predict(*, project: Project, user: User, type_name: str, prompt: str, model: str = "") -> Expectation:
    """What such a machine will use, from ended machines of its type that `user` may see, this project's first."""
    mine = sketch(prompt)
    past = _past(project, user, type_name)
    if len(past) < NEIGHBOURS_MIN:
        return Expectation(len(past), sketch=mine)
    nearest = _nearest(project, model, mine, past)
    ranges = {name: estimate([(weight, getattr(one, name)) for weight, one in nearest]) for name in FIGURES}
    suggested = (
        rounded_up(max(ranges["cost_micros"].most, SUGGESTED_MIN)) if ranges["cost_micros"].most else None
    )
    return Expectation(len(nearest), ranges, suggested, mine)


def _past(project: Project, user: User, type_name: str) -> list[_Past]:
    """This project's; where they are too few, also those of the other projects that the user may see."""
    known = Prediction.objects.filter(used_at__isnull=False, machine__type=type_name, machine__replays=None)
    own = _rows(known.filter(machine__project=project), PAST_MAX)
    if len(own) >= NEIGHBOURS_MAX:
        return own
    visible = Project.objects.permitted(user, "view_project").exclude(pk=project.pk)
    return own + _rows(known.filter(machine__project__in=visible), PAST_MAX - len(own))


def _rows(known: Any, most: int) -> list[_Past]:
    figures = [f"used_{name}" for name in FIGURES]
    rows = known.order_by("-used_at").values_list("machine__project_id", "machine__model", "sketch", *figures)
    return [_Past(*row) for row in rows[:most]]


def _nearest(project: Project, model: str, mine: bytes, past: Sequence[_Past]) -> list[tuple[float, _Past]]:
    """The past machines that count most, with their weights."""
    alike = similarities(mine, [one.sketch for one in past])
    weighed = [
        (_weight(one, likeness, project, model), one) for likeness, one in zip(alike, past, strict=True)
    ]
    return sorted(weighed, key=lambda pair: pair[0], reverse=True)[:NEIGHBOURS_MAX]


def _weight(one: _Past, likeness: float, project: Project, model: str) -> float:
    weight = UNLIKE + likeness**3
    if one.model != model:
        weight *= OTHER_MODEL
    return weight if one.project_id == project.pk else weight * OTHER_PROJECT


def remember(machine: Machine, expected: Expectation) -> None:
    """Keep what was expected of it, for its page, for calibration, and for the machines after it."""
    ranges = {name: [found.low, found.middle, found.high] for name, found in expected.ranges.items()}
    Prediction.objects.create(
        machine=machine,
        method=METHOD,
        neighbours=expected.neighbours,
        suggested_micros=expected.suggested_micros,
        sketch=expected.sketch,
        **ranges,
    )


def of(machine: Machine) -> Prediction | None:
    """What was expected of it; None where nothing was, as of replays."""
    return Prediction.objects.filter(machine=machine).exclude(method="").first()


def ranges_of(kept: Prediction) -> dict[str, list[int]]:
    """Low, middle and high by figure; empty if there was not enough history."""
    return {name: found for name in FIGURES if (found := getattr(kept, name))}


def used_by(kept: Prediction) -> dict[str, int] | None:
    """What the machine did use, by figure; None before it has ended."""
    return {name: getattr(kept, f"used_{name}") for name in FIGURES} if kept.used_at else None


def record_truth(machine: Machine, now: datetime | None = None) -> None:
    """Fill in what an ended machine used; again, once it was rolled back and has ended another time."""
    entries = LedgerEntry.objects.filter(machine_id=machine.pk, kind__in=LedgerEntry.CONSUMPTION)
    names = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens")
    sums = entries.aggregate(
        cost=Sum("micros", default=0),
        calls=Sum("calls", default=0),
        tokens=Coalesce(Sum(sum(map(F, names[1:]), F(names[0]))), 0),
    )
    ran = (
        (machine.ended_at - machine.run_started_at)
        if machine.ended_at and machine.run_started_at
        else timedelta()
    )
    used = {
        "used_cost_micros": sums["cost"],
        "used_tokens": sums["tokens"],
        "used_calls": sums["calls"],
        "used_seconds": round(ran.total_seconds()),
        "used_at": now or timezone.now(),
    }
    Prediction.objects.update_or_create(
        machine=machine, defaults=used, create_defaults={**used, "sketch": sketch(machine.prompt)}
    )


def tend(now: datetime | None = None) -> int:
    """Record the truth of machines that have ended since; returns of how many. Machines that never ran tell nothing."""
    now = now or timezone.now()
    unknown = Q(prediction=None) | Q(prediction__used_at=None) | Q(prediction__used_at__lt=F("ended_at"))
    ended = Machine.objects.filter(unknown, state__in=ENDED, run_started_at__isnull=False)
    due = list(ended.filter(ended_at__lt=now - SETTLING).order_by("ended_at")[:AT_ONCE])
    for machine in due:
        record_truth(machine, now)
    return len(due)


def calibration(project: Project | None = None) -> Calibration:
    """How often the truth fell into the range: of a project's machines, or of all."""
    told = Prediction.objects.filter(method=METHOD, used_at__isnull=False, cost_micros__isnull=False)
    if project:
        told = told.filter(machine__project=project)
    found = told.aggregate(n=Count("pk"), **{name: Count("pk", filter=_holds(name)) for name in FIGURES})
    return Calibration(found.pop("n"), found)


def _holds(name: str) -> Q:
    used = f"used_{name}"
    return Q(**{f"{used}__gte": F(f"{name}__0"), f"{used}__lte": F(f"{name}__2")})
