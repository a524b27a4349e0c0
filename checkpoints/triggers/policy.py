"""When checkpoints are taken, as machine types, projects and machines say it. What is due: `due`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from checkpoints.triggers import risks
from projects.errors import Invalid

OVERLAP, AFTER_RESPONSE = "overlap", "after_response"
CALLS_MAX, MINUTES_MAX, PATTERNS_MAX = 10_000, 7 * 24 * 60, 50

Durable = Literal["none", "final", "milestone"] | int
Values = Mapping[str, object]


class InvalidPolicy(Invalid):
    """What was said is no policy; the sentence names the key and what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When checkpoints are taken of a machine by itself, and which of them are kept elsewhere, too.

    Those that somebody asks for, and the one at the end, are taken whatever it says.
    """

    calls: int = 1  # at every so many model calls; 0: not by calls
    minutes: int = 0  # at the first call after so many minutes; 0: not by time
    percent: int = 0  # whenever so many per cent more of any budget are used; 0: not by budgets
    before: tuple[str, ...] = (
        risks.USUAL,
    )  # tools that may do harm, by name or pattern: `checkpoints.triggers.risks`
    after_files: bool = False  # after tools that may have written files
    timing: str = OVERLAP  # while the model thinks, or once it has answered
    skip: bool = True  # where nothing has changed, share the state of the last one
    durable: Durable = "milestone"  # which are backed up: "none", "final", "milestone", or every nth as well
    ram: bool = False  # with the memory, where somebody asks for one and says nothing else

    @property
    def takes_any(self) -> bool:
        """Whether there is any but those that are asked for, and the end."""
        return bool(self.by_calls or self.before)

    @property
    def by_calls(self) -> bool:
        """Whether one may be due at a call, whatever its answer says."""
        return bool(self.calls or self.minutes or self.percent or self.after_files)

    @property
    def overlaps(self) -> bool:
        return self.timing == OVERLAP

    @property
    def summary(self) -> str:
        """For lists: "every call", "every 5 calls, every 10 minutes, before risky tools"."""
        said = [
            _every(self.calls, "call"),
            _every(self.minutes, "minute"),
            f"every {self.percent} % of a budget" if self.percent else "",
            "after file operations" if self.after_files else "",
            "before risky tools" if self.before and self.calls != 1 else "",
        ]
        return ", ".join(filter(None, said)) or "none"

    @property
    def values(self) -> dict[str, object]:
        """As it is written in JSON and TOML."""
        known = {one.name: getattr(self, one.name) for one in fields(self)}
        return known | {"before": list(self.before)}


EVERY_CALL = Policy()
NONE = Policy(calls=0, before=())
SHORT_FORMS = {"every_call": EVERY_CALL, "none": NONE}


def parse(values: object) -> Policy:
    """A policy from its short form, or from a table whose missing keys are those of "every_call".

    Raises `InvalidPolicy`.
    """
    if isinstance(values, str) and values in SHORT_FORMS:
        return SHORT_FORMS[values]
    return merged(EVERY_CALL, checked(values))


def merged(first: Policy, *departures: Values) -> Policy:
    """`first`, with single keys replaced by each of `departures` in turn. Raises `InvalidPolicy`."""
    policy = first
    for values in departures:
        policy = replace(policy, **_fields(checked(values)))
    return policy


def checked(values: object) -> dict[str, object]:
    """What departs from a policy, as it is stored: only keys that are known, with values that are possible.

    A short form stands for all of its keys. Raises `InvalidPolicy`.
    """
    if isinstance(values, str) and values in SHORT_FORMS:
        return SHORT_FORMS[values].values
    if not isinstance(values, Mapping):
        raise InvalidPolicy(f"{values!r} is no policy; expected {' or '.join(SHORT_FORMS)}, or a table.")
    for key, value in values.items():
        if key not in _SHAPES:
            raise InvalidPolicy(f"The key {key!r} is not known; known are {', '.join(_SHAPES)}.")
        shape, expected = _SHAPES[key]
        if not shape(value):
            raise InvalidPolicy(f"{key} is {value!r}; expected {expected}.")
    _check_patterns(values.get("before", ()))
    return dict(values)


def _fields(values: Values) -> dict[str, Any]:
    return {key: tuple(one) if isinstance(one, list) else one for key, one in values.items()}


def _check_patterns(patterns: Any) -> None:
    for pattern in patterns:
        try:
            risks.check(pattern)
        except Invalid as error:
            raise InvalidPolicy(f"before: {error}") from None


def _every(count: int, unit: str) -> str:
    if not count:
        return ""
    return f"every {unit}" if count == 1 else f"every {count} {unit}s"


def _number(most: int, least: int = 0) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _is_patterns(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) <= PATTERNS_MAX
        and all(isinstance(one, str) and one for one in value)
    )


_FLAG: tuple[Callable[[Any], bool], str] = (lambda value: isinstance(value, bool), "true or false")
_SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "calls": (_number(CALLS_MAX), f"a whole number of calls up to {CALLS_MAX:,}, 0 for none"),
    "minutes": (_number(MINUTES_MAX), f"a whole number of minutes up to {MINUTES_MAX:,}, 0 for none"),
    "percent": (_number(100), "a whole number of per cent up to 100, 0 for none"),
    "before": (_is_patterns, f"a list of at most {PATTERNS_MAX} names or patterns"),
    "after_files": _FLAG,
    "timing": (lambda value: value in (OVERLAP, AFTER_RESPONSE), f"{OVERLAP} or {AFTER_RESPONSE}"),
    "skip": _FLAG,
    "durable": (
        lambda value: value in ("none", "final", "milestone") or _number(CALLS_MAX, 1)(value),
        f"none, final, milestone, or a whole number n for every nth, up to {CALLS_MAX:,}",
    ),
    "ram": _FLAG,
}
