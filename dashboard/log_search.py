"""The search over all logs: what is asked for, the lines that it finds, and the errors of model calls beside them."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.urls import reverse

from audit.grammar import TEXT, Term
from dashboard import log_terms, logs
from dashboard.log_terms import FIELDS, OF_CALLS, OF_LINES, RANGES
from dashboard.log_windows import Found, Place, Wanted, earlier, newest
from dashboard.pages import number
from gateway.models import Call
from machines import printed
from machines.models import LogLine
from projects.errors import Invalid, NotThere
from projects.models import Project, User
from projects.roles import Right

ROWS = 50
CALLS = 10
COUNTED_MAX = 10_000
LEVEL = "level"
SHOWN_CHARACTERS = 1000


@dataclass(frozen=True)
class Asked:
    """A search as somebody asks for it. `problems`: what cannot be made of it, in sentences."""

    user: User
    query: Mapping[str, str]
    slugs: dict[UUID, str]
    terms: list[Term]
    problems: list[str]
    conditions: Q = field(default_factory=Q)  # of fields; of words; and ways of which one is enough
    says: Q = field(default_factory=Q)
    ways: tuple[Q, ...] = ()

    @classmethod
    def of(cls, user: User, query: Mapping[str, str]) -> "Asked":
        """What a query string asks for; of what they may not see, it says that it is not there."""
        slugs = dict(Project.objects.permitted(user, Right.VIEW).values_list("pk", "slug"))
        terms, problems = log_terms.read(query)
        spoken = [term for term in terms if term.field == TEXT and not term.negated]
        conditions, says = Q(), printed.says(*(term.value for term in spoken)) if spoken else Q()
        ways: tuple[Q, ...] = ()
        for term in (term for term in terms if term not in spoken):
            try:
                condition = OF_LINES[term.field](user, slugs, term.value)
            except NotThere as error:
                problems.append(str(error))
                continue
            condition = ~condition if term.negated else condition
            if term.field == LEVEL and not term.negated:
                ways = printed.bad_ways()
            elif term.field in (TEXT, LEVEL):
                says &= condition
            else:
                conditions &= condition
        return cls(user, query, slugs, terms, problems, conditions, says, ways)

    @property
    def words(self) -> list[str]:
        """What has to be said."""
        return [term.value for term in self.terms if term.field == TEXT and not term.negated]

    @cached_property
    def within(self) -> QuerySet[LogLine]:
        """The lines in which words are looked for. Without order."""
        if self.problems:
            return LogLine.objects.none()
        return LogLine.objects.filter(self.conditions, machine__project_id__in=list(self.slugs)).order_by()

    @property
    def wanted(self) -> Wanted | None:
        """What has to be said, for those who seek it; None where fields alone are asked for."""
        asked = [term for term in self.terms if term.field in (TEXT, LEVEL)]
        if not asked:
            return None
        said = printed.says_all(self.words) if self.words else Q()
        exact = not any(term.negated or len(printed.words(term.value)) > 1 for term in asked)
        ways = [said & way for way in self.ways] or [said] * bool(self.words)
        return Wanted(self.says & reduce(or_, self.ways, Q()), ways, exact)

    @cached_property
    def lines(self) -> QuerySet[LogLine]:
        """The lines that they see and ask for. Without order."""
        return self.within.filter(self.wanted.condition) if self.wanted else self.within

    def newest(self, before: Place | None) -> "Page":
        """A page of lines before that place."""
        if self.wanted is None:
            found = _newest_first(self.within.filter(earlier(before)), ROWS + 1)
            return Page(found[:ROWS], _last(found), "" if before else self._count())
        sought = newest(self.within, self.wanted, before or self._end, ROWS)
        found = _newest_first(LogLine.objects.filter(pk__in=sought.keys[: ROWS + 1]), ROWS + 1)
        return Page(found[:ROWS], _last(found) or sought.rest, _count_of(sought), sought.rest)

    @property
    def _end(self) -> Place | None:
        """Where the search begins, on its way back."""
        ends = [log_terms.at(term) for term in self.terms if term.field == "until" and not term.negated]
        return (min(ends), 0) if ends else None

    def _count(self) -> str:
        """Counting stops where nobody would go on reading."""
        counted = self.within[: COUNTED_MAX + 1].count()
        return _lines(counted) if counted <= COUNTED_MAX else f"more than {COUNTED_MAX:,} lines"


@dataclass(frozen=True)
class Page:
    """Lines, newest first, where to go on, and how many there are. `rest`: older ones were not searched yet."""

    lines: list[LogLine]
    older: Place | None
    count: str
    rest: Place | None = None


@dataclass(frozen=True)
class Row:
    """A line that was found, in pieces; those that were searched for are marked. `address` shows it in its context."""

    at: datetime
    handle: str
    project: str
    stream: str
    bad: bool
    pieces: list[tuple[str, bool]]
    address: str
    id: int = 0


def view(user: User, query: Mapping[str, str]) -> dict[str, Any]:
    """The context of the page. Raises `Invalid` where the place that it should go on from cannot be read."""
    asked = Asked.of(user, query)
    before = _place(query.get("before", ""))
    page = asked.newest(before)
    return {
        "asked": asked,
        "q": query.get("q", ""),
        "machine": query.get("machine", ""),
        "range": query.get("range", ""),
        "ranges": RANGES,
        "range_name": RANGES.get(query.get("range", ""), ""),
        "wider": log_terms.wider(query.get("range", "")),
        "begins": query.get("from", ""),
        "ends": query.get("to", ""),
        "fields": FIELDS,
        "rows": [_row(line, asked) for line in page.lines],
        "older": f"{page.older[0].isoformat()},{page.older[1]}" if page.older else "",
        "rest": page.rest,
        "older_than": before,
        "count": page.count,
        "calls": [] if before else failed_calls(asked),
        "calls_most": CALLS,
        "follows": "follow" in query and not before,
        "anything": page.lines or asked.terms or asked.problems or before,
    }


def failed_calls(asked: Asked) -> list[Row]:
    """The newest errors of model calls that the search finds. Streams and levels are of lines: calls have none."""
    if asked.problems or any(term.field not in OF_CALLS for term in asked.terms):
        return []
    found = Call.objects.filter(machine__project_id__in=list(asked.slugs)).exclude(error="")
    for term in asked.terms:
        condition = OF_CALLS[term.field](asked.user, asked.slugs, term.value)
        found = found.exclude(condition) if term.negated else found.filter(condition)
    newest = found.select_related("machine").order_by("-started_at")[:CALLS]
    return [
        Row(
            call.started_at,
            call.machine.handle,
            asked.slugs[call.machine.project_id],
            f"call {call.number}",
            True,
            pieces(call.error, asked.words),
            f"{reverse('dashboard:machine', args=[call.machine.handle])}#call-{call.number}",
        )
        for call in newest
    ]


async def written(asked: Asked, *, as_json: bool) -> AsyncIterator[str]:
    """Every line that is found, the oldest first, as it was printed."""
    lines = asked.lines.select_related("machine").order_by("at", "id")
    async for line in lines.aiterator(chunk_size=logs.LINES_PER_ANSWER):
        if as_json:
            yield json.dumps(_record(line, asked), ensure_ascii=False) + "\n"
        else:
            yield f"{line.at:%Y-%m-%dT%H:%M:%S}Z {line.machine.handle} {line.stream} {line.text}\n"


def _place(given: str) -> Place | None:
    """Time and id of the line where a page ended; None for the first page. Raises `Invalid` for any other text."""
    if not given:
        return None
    at, _, key = given.rpartition(",")
    try:
        return datetime.fromisoformat(at).astimezone(UTC), number(key)
    except (ValueError, OverflowError):
        raise Invalid(
            "The address names no line to go on from. Open the logs again, and go on from there."
        ) from None


def _row(line: LogLine, asked: Asked) -> Row:
    here = reverse("dashboard:machine", args=[line.machine.handle])
    return Row(
        line.at,
        line.machine.handle,
        asked.slugs[line.machine.project_id],
        line.stream,
        printed.sounds_bad(line.stream, line.text),
        pieces(line.text, asked.words),
        f"{here}?line={line.pk}#L{line.pk}",
        line.pk,
    )


def pieces(text: str, wanted: list[str]) -> list[tuple[str, bool]]:
    """The text, marked; of a very long one what is around the first place that was found."""
    whole = printed.plain(text)
    if len(whole) <= SHOWN_CHARACTERS:
        return printed.marked(whole, wanted)
    start = max(printed.place(whole, wanted) - SHOWN_CHARACTERS // 4, 0)
    cut = whole[start : start + SHOWN_CHARACTERS]
    return printed.marked(f"{'…' * (start > 0)}{cut}{'…' * (start + len(cut) < len(whole))}", wanted)


def _record(line: LogLine, asked: Asked) -> dict[str, Any]:
    return {
        "id": line.pk,
        "at": line.at.isoformat(),
        "project": asked.slugs[line.machine.project_id],
        "machine": line.machine.handle,
        "run": str(line.run),
        "number": line.number,
        "stream": line.stream,
        "text": line.text,
    }


def _newest_first(lines: QuerySet[LogLine], count: int) -> list[LogLine]:
    return list(lines.select_related("machine").order_by("-at", "-id")[:count])


def _last(found: list[LogLine]) -> Place | None:
    """The last one of a full page; None where no page follows."""
    return (found[ROWS - 1].at, found[ROWS - 1].pk) if len(found) > ROWS else None


def _count_of(sought: Found) -> str:
    if sought.whole:
        return _lines(len(sought.keys))
    return f"{_lines(len(sought.keys))} so far" if sought.rest else f"more than {ROWS} lines"


def _lines(count: int) -> str:
    return f"{count:,} line{'' if count == 1 else 's'}"
