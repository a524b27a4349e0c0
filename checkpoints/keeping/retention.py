"""Which checkpoints stay and which go, and why. Pure choice from plain values; `pruning` carries it out."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from checkpoints.states import State
from projects.errors import Invalid

# For so long it can be looked into why one broke; then what is left of it goes.
BROKEN_DAYS = 7
COUNT_MAX = 100_000
FOREVER = None


@dataclass(frozen=True, slots=True)
class Retention:
    """How many of each line are kept: the last ones, and the newest of so many hours, days, weeks and months.

    Each rule counts what the rules before it do not keep already, as in borg and in Proxmox. `milestones`: for how
    many days; `FOREVER` without end.
    """

    keep_last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    milestones: int | None = FOREVER

    @property
    def plain(self) -> dict[str, int | bool]:
        """As `parse` takes it."""
        said = asdict(self)
        return said | {"milestones": {FOREVER: True, 0: False}.get(self.milestones, self.milestones)}


COUNTS = ("keep_last", "hourly", "daily", "weekly", "monthly")
NAMES = (*COUNTS, "milestones")


def parse(values: Mapping[str, Any], base: Retention | None = None) -> Retention:
    """The rules that `values` say; what they do not say is as in `base`. Raises `Invalid` with a sentence.

    `milestones` is true (for ever), false, or a number of days.
    """
    if unknown := sorted(set(values) - set(NAMES)):
        raise Invalid(f"There is no rule {unknown[0]!r} of retention; there are {', '.join(NAMES)}.")
    counts = {name: _count(name, values[name]) for name in COUNTS if name in values}
    said = replace(base or Retention(), **counts)
    if "milestones" not in values:
        return said
    kept = values["milestones"]
    if isinstance(kept, bool):
        return replace(said, milestones=FOREVER if kept else 0)
    return replace(said, milestones=_count("milestones", kept))


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= COUNT_MAX:
        also = ", true or false" if name == "milestones" else ""
        raise Invalid(f"{name} is a whole number from 0 to {COUNT_MAX:,}{also}, not {value!r}.")
    return value


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a checkpoint when it is decided whether it stays. `line`: the machine that left it."""

    id: UUID
    handle: str
    line: str
    number: int
    state: State
    at: datetime  # when it was taken; of a broken one, when it broke
    holder: UUID
    parent: UUID | None = None
    genesis: bool = False
    pinned: bool = False
    proven: bool = False
    milestone: str = ""  # why somebody cares for it

    @property
    def line_name(self) -> str:
        return self.handle.rpartition(".")[0]


Reasons = dict[UUID, str]


def plan(known: Iterable[Known], rules: Retention, now: datetime, needed: Mapping[UUID, str]) -> Reasons:
    """Why each checkpoint is kept, by id. Those captured or broken that are not in it go; others are not in question.

    `known` are all of the lines in question, pruned ones too: they are what lineage is found by. `needed` is what
    something works with now, and why.
    """
    every = {one.id: one for one in known}
    kept: Reasons = {}
    for reasons in (
        _always(every.values(), now),
        needed.items(),
        _bases(every),
        _by_rules(every, rules, now),
    ):
        for key, reason in reasons:
            kept.setdefault(key, reason)
    for key, reason in _shared(every, kept):
        kept.setdefault(key, reason)
    return {key: reason for key, reason in kept.items() if key in every and _in_question(every[key])}


def _in_question(one: Known) -> bool:
    return one.state in (State.CAPTURED, State.BROKEN)


def _always(known: Iterable[Known], now: datetime) -> Iterator[tuple[UUID, str]]:
    for one in known:
        if one.genesis:
            yield one.id, "where machines of the project begin"
        elif one.pinned:
            yield one.id, "pinned"
        elif one.state == State.BROKEN and one.at > now - timedelta(days=BROKEN_DAYS):
            yield one.id, f"broken; what is left of it is kept for {BROKEN_DAYS} days"


def _bases(known: Mapping[UUID, Known]) -> Iterator[tuple[UUID, str]]:
    """What those that are being taken follow, and may share."""
    for one in known.values():
        if one.state == State.REQUESTED and (base := _usable_ancestor(one, known)):
            yield base.id, f"{one.handle}, which follows it, is being taken"


def _usable_ancestor(one: Known, known: Mapping[UUID, Known]) -> Known | None:
    ancestor = known.get(one.parent) if one.parent else None
    while ancestor and ancestor.state != State.CAPTURED:
        ancestor = known.get(ancestor.parent) if ancestor.parent else None
    return ancestor


def _by_rules(known: Mapping[UUID, Known], rules: Retention, now: datetime) -> Iterator[tuple[UUID, str]]:
    usable = sorted(
        (one for one in known.values() if one.state == State.CAPTURED),
        key=lambda one: (one.line, one.number),
        reverse=True,
    )
    for _, line in groupby(usable, key=lambda one: one.line):
        yield from _of_line(list(line), rules, now)


def _of_line(line: list[Known], rules: Retention, now: datetime) -> Iterator[tuple[UUID, str]]:
    """`line` is one machine's, the newest first."""
    for one in line:
        if one.milestone and _is_young(one, rules.milestones, now):
            yield one.id, f"milestone: {one.milestone}"
    yield from _counted(line, rules).items()
    if proven := next((one for one in line if one.proven), None):
        yield proven.id, f"the last one proven of {proven.line_name}"
    yield line[0].id, f"the newest of {line[0].line_name}"


def _is_young(one: Known, days: int | None, now: datetime) -> bool:
    return days is FOREVER or one.at > now - timedelta(days=days)


def _hour(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H}:00 UTC"


def _week(at: datetime) -> str:
    return f"{at:%G-W%V}"


_PERIODS: dict[str, Callable[[datetime], str]] = {
    "hourly": _hour,
    "daily": lambda at: f"{at:%Y-%m-%d}",
    "weekly": _week,
    "monthly": lambda at: f"{at:%Y-%m}",
}


def _counted(line: list[Known], rules: Retention) -> Reasons:
    last = line[: rules.keep_last]
    kept = {one.id: f"one of the last {rules.keep_last} of {one.line_name}" for one in last}
    for name, period_of in _PERIODS.items():
        newest: dict[str, Known] = {}
        for one in line:
            newest.setdefault(period_of(one.at.astimezone(UTC)), one)
        fresh = [(period, one) for period, one in newest.items() if one.id not in kept]
        for period, one in fresh[: getattr(rules, name)]:
            kept[one.id] = f"{name} of {period}"
    return kept


def _shared(known: Mapping[UUID, Known], kept: Mapping[UUID, str]) -> Iterator[tuple[UUID, str]]:
    """Those whose state is that of one that stays, or is being taken."""
    for one in known.values():
        stays = one.state == State.REQUESTED or (_in_question(one) and one.id in kept)
        if stays and one.holder != one.id:
            yield one.holder, f"{one.handle} shares its state"
