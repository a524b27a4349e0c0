"""The language of the search over logs: its fields, what is wrong with a term, what it asks of lines and calls."""

from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from audit.grammar import TEXT, Term, malformed, moment, no_time, parse
from machines import actions, printed
from projects.errors import NotThere
from projects.models import User

Condition = Callable[[User, Mapping[UUID, str], str], Q]

FIELDS = {
    "machine": "of this machine: m12",
    "project": "of this project's machines, by its short name",
    "stream": "out, err, sys (autovibe itself) or say (what people told the agent)",
    "level": "error: what is on stderr, or says error, exception, traceback, fatal, panic or failed",
    "since": "at this time or later: 2031-05-06, 2031-05-06T12:00Z, or 2h, 7d ago",
    "until": "before this time",
}
STREAMS = {"out": "out", "stdout": "out", "err": "err", "stderr": "err", "sys": "sys", "say": "say"}
RANGES = {"1h": "Last hour", "24h": "Last 24 hours", "7d": "Last 7 days", "": "Any time"}
_OPERATORS = {"OR", "AND", "NOT"}


def wrong(term: Term) -> str:
    """What is wrong with a term of a search of logs, in a sentence; "" when nothing is."""
    if problem := malformed(term, FIELDS):
        return problem
    said = _WRONG.get(term.field)
    return said(term.value) if said else ""


def _wrong_text(value: str) -> str:
    if value in _OPERATORS:
        return (
            f"“{value}” is not understood: all that is asked for has to hold, and - leaves out. "
            "The word itself is found in small letters."
        )
    if not printed.words(value):
        return f"“{value}” has no letter and no digit; only words are searched for."
    return printed.too_long(value)


def _wrong_stream(value: str) -> str:
    return "" if value in STREAMS else f"There is no stream “{value}”. There are out, err, sys and say."


def _wrong_level(value: str) -> str:
    return "" if value == "error" else f"There is no level “{value}”. There is error."


def _wrong_time(value: str) -> str:
    return "" if moment(value) else no_time(value)


_WRONG: dict[str, Callable[[str], str]] = {
    TEXT: _wrong_text,
    "stream": _wrong_stream,
    "level": _wrong_level,
    "since": _wrong_time,
    "until": _wrong_time,
}


def read(query: Mapping[str, str]) -> tuple[list[Term], list[str]]:
    """The terms of a query string, and what is wrong with others, in sentences."""
    typed = parse(query.get("q", ""), wrong)
    terms, problems = list(typed.terms), list(typed.problems)
    if machine := query.get("machine", ""):
        terms.append(Term("machine", machine))
    for name, value, problem in _between(query):
        problems += [problem] if problem else []
        terms += [] if problem else [Term(name, value)]
    return terms, problems


def _between(query: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Of the fields for times: term, value, and what is wrong with it. Times there are those of whoever looks."""
    found = []
    if (since := query.get("range", "")) in RANGES and since:
        found.append(("since", since, ""))
    for name, term in (("from", "since"), ("to", "until")):
        if given := query.get(name, ""):
            at = moment(given, timezone.get_current_timezone())
            found.append((term, at.isoformat() if at else given, "" if at else _wrong_time(given)))
    return found


def at(term: Term) -> datetime:
    """The moment that a term for times names, which nothing is wrong with."""
    found = moment(term.value)
    assert found
    return found


def wider(range: str) -> tuple[str, str] | None:
    """The next wider range, and its name."""
    names = list(RANGES)
    if range not in RANGES or not range:
        return None
    wider = names[names.index(range) + 1]
    return wider, RANGES[wider].lower()


def _machine(user: User, slugs: Mapping[UUID, str], value: str) -> Q:
    return Q(machine_id=actions.find(value, user=user).pk)


def _project(user: User, slugs: Mapping[UUID, str], value: str) -> Q:
    key = next((key for key, slug in slugs.items() if slug == value), None)
    if key is None:
        raise NotThere(f"There is no project {value!r} that you may see.")
    return Q(machine__project_id=key)


def _call_since(user: User, slugs: Mapping[UUID, str], value: str) -> Q:
    return Q(started_at__gte=moment(value))


def _call_until(user: User, slugs: Mapping[UUID, str], value: str) -> Q:
    return Q(started_at__lt=moment(value))


def _call_says(user: User, slugs: Mapping[UUID, str], value: str) -> Q:
    return Q(error__icontains=value)


# What a term asks of a line; and of a model call, which has no stream and no level.
OF_LINES: dict[str, Condition] = {
    "machine": _machine,
    "project": _project,
    "stream": lambda user, slugs, value: Q(stream=STREAMS[value]),
    "level": lambda user, slugs, value: printed.is_bad(),
    "since": lambda user, slugs, value: Q(at__gte=moment(value)),
    "until": lambda user, slugs, value: Q(at__lt=moment(value)),
    TEXT: lambda user, slugs, value: printed.says(value),
}
OF_CALLS: dict[str, Condition] = {
    "machine": _machine,
    "project": _project,
    "since": _call_since,
    "until": _call_until,
    TEXT: _call_says,
}
