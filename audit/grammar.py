"""The search language: `field:value`, `-field:value`, quotation marks around spaces, and plain words. No database."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from events.context import Interface

# The fields that there are, in the order they are named to people.
FIELDS = {
    "project": "in this project, by its short name",
    "subject": "on this machine, checkpoint or project: m12, m12.c3, demo, or as events have it, machine:<uuid>",
    "kind": "of this kind, such as machine.running; machine.* for all of a thing",
    "actor": "by this user, or system",
    "interface": f"asked for by {', '.join(Interface)}",
    "since": "at this time or later: 2031-05-06, 2031-05-06T12:00Z, or 2h, 7d ago",
    "until": "before this time",
    "request_id": "that this request led to",
    "address": "asked for from this address",
    "token": "asked for with a token of this name",
}
TEXT = "text"
TEXT_MAX = 500

_TERM = re.compile(r'(?=\S)(?P<minus>-?)(?:(?P<field>[A-Za-z_]+):)?(?:"(?P<quoted>[^"]*)"?|(?P<plain>\S*))')
_AGO = re.compile(r"(?P<number>\d{1,5})(?P<unit>[mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


@dataclass(frozen=True)
class Term:
    """One condition. All of them have to hold."""

    field: str
    value: str
    negated: bool = False

    def __str__(self) -> str:
        value = f'"{self.value}"' if re.search(r"\s", self.value) else self.value
        field = "" if self.field == TEXT else f"{self.field}:"
        return f"{'-' * self.negated}{field}{value}"


@dataclass(frozen=True)
class Asked:
    """What a text asks for, and what could not be made of it, in sentences."""

    terms: list[Term]
    problems: list[str]


def parse(text: str, check: Callable[[Term], str] | None = None) -> Asked:
    """Read a text as people type it. `check` says what is wrong with a term, where other fields are searched."""
    terms, problems = [], []
    for found in _TERM.finditer(text[:TEXT_MAX]):
        term = Term(
            (found["field"] or TEXT).lower(),
            found["quoted"] if found["quoted"] is not None else found["plain"],
            bool(found["minus"]),
        )
        problem = (check or wrong)(term)
        terms += [] if problem else [term]
        problems += [problem] if problem else []
    return Asked(terms, problems)


def written(terms: Iterable[Term]) -> str:
    """The text again that `parse` reads."""
    return " ".join(map(str, terms))


def malformed(term: Term, fields: Iterable[str]) -> str:
    """What is wrong with any term where there are those fields, in a sentence; "" when nothing is."""
    if term.field != TEXT and term.field not in (known := list(fields)):
        return (
            f"There is no field “{term.field}”. There are {', '.join(known)}. "
            "Words that hold a colon go into quotation marks."
        )
    return "" if term.value else f"“{term}” lacks what it should be."


def wrong(term: Term) -> str:
    """What is wrong with a term of a search of events, in a sentence; "" when nothing is."""
    if problem := malformed(term, FIELDS):
        return problem
    if term.field == "interface" and term.value not in list(Interface):
        return f"There is no interface “{term.value}”. There are {', '.join(Interface)}."
    if term.field in ("since", "until") and moment(term.value) is None:
        return no_time(term.value)
    return ""


def no_time(text: str) -> str:
    """What is said of a text that `moment` does not understand."""
    return f"“{text}” is no time; write 2031-05-06, 2031-05-06T12:00Z, or 2h or 7d for so long ago."


def moment(text: str, zone: tzinfo = UTC) -> datetime | None:
    """A day's beginning, a moment, or so long ago, in UTC. None for anything else.

    `zone`: where it is that time, if the text gives no offset.
    """
    if ago := _AGO.fullmatch(text):
        return timezone.now() - int(ago["number"]) * _UNITS[ago["unit"]]
    try:
        at = parse_datetime(text) or parse_date(text)
    except ValueError:
        return None
    if isinstance(at, date) and not isinstance(at, datetime):
        at = datetime.combine(at, time())
    if at is None or not 1970 <= at.year < 9000:  # elsewhere, time zones lead out of the calendar
        return None
    # PostgreSQL does not take all offsets that Python does.
    return (at if timezone.is_aware(at) else at.replace(tzinfo=zone)).astimezone(UTC)
