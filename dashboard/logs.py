"""The log of one machine as its page shows it: windows of lines, each with what a reader has to know of it."""

from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils.safestring import SafeString

from audit.grammar import moment
from dashboard import ansi
from dashboard.pages import number
from dashboard.words import here
from machines import printed
from machines.models import LogLine, Machine
from machines.printed import plain

LINES_AT_FIRST = 150  # a page of thousands of elements is slow on a phone
LINES_OLDER = 500
LINES_PER_ANSWER = 2000
CHUNK_LINES = 200
_SAID = "say"  # numbered apart from what the agent prints


@dataclass(frozen=True)
class Line:
    """`pieces`: the text by its colours, if it has any. `missing`: lines printed just before it that never came."""

    id: int
    at: str
    clock: str
    stream: str
    text: str
    pieces: list[ansi.Piece]
    bad: bool
    missing: int

    @property
    def html(self) -> SafeString:
        """The text as the page has it."""
        return ansi.html(self.text, self.pieces)


@dataclass(frozen=True)
class Window:
    """Lines that follow each other, and whether there are others on either side."""

    lines: list[Line]
    older: bool
    newer: bool

    @property
    def first(self) -> int:
        return self.lines[0].id if self.lines else 0

    @property
    def last(self) -> int:
        return self.lines[-1].id if self.lines else 0

    @property
    def chunks(self) -> list[list[Line]]:
        """In parts that the browser skips while they are out of sight."""
        return [self.lines[at : at + CHUNK_LINES] for at in range(0, len(self.lines), CHUNK_LINES)]

    def as_json(self) -> dict[str, Any]:
        lines = [vars(line) for line in self.lines]
        return {"lines": lines, "older": self.older, "newer": self.newer}


def card(machine: Machine, query: Mapping[str, str]) -> dict[str, Any]:
    """The context of the log on the machine's page: around `?line=`, else its end."""
    line = number(query.get("line", ""))
    return {"log": around(machine, line) if line else latest(machine), "log_line": line}


def since(machine: Machine, asked: str) -> LogLine | None:
    """The first line that was printed at that time or after it, or else the last; None where nothing was."""
    at = moment(asked)
    if at is None:
        return None
    return machine.log.filter(at__gte=at).order_by("id").first() or machine.log.order_by("id").last()


def asked(machine: Machine, query: Mapping[str, str]) -> dict[str, Any]:
    """What the page's script asks for: lines `after`, `before` or `around` one, the `latest`, or what `q` finds."""
    if "q" in query or "errors" in query:
        return found(machine, query)
    if "before" in query:
        return before(machine, number(query["before"])).as_json()
    if "around" in query:
        return around(machine, number(query["around"])).as_json()
    if "latest" in query:
        return latest(machine).as_json()
    return after(machine, number(query.get("after", ""))).as_json()


def latest(machine: Machine, most: int = LINES_AT_FIRST) -> Window:
    """The last lines."""
    return _ending(machine.log.all(), newer=False, most=most)


def before(machine: Machine, first: int) -> Window:
    """The lines before that one."""
    return _ending(machine.log.filter(pk__lt=first), newer=True, most=LINES_OLDER)


def after(machine: Machine, last: int) -> Window:
    """The lines after that one."""
    # With it, as far as it is known: whether lines are missing in between is told by it.
    found = list(machine.log.filter(pk__gte=last).order_by("id")[: LINES_PER_ANSWER + 2])
    lines = [line for line in shown(found) if line.id > last]
    return Window(lines[:LINES_PER_ANSWER], older=last > 0, newer=len(lines) > LINES_PER_ANSWER)


def around(machine: Machine, line: int) -> Window:
    """As many lines up to that one as after it."""
    half = LINES_AT_FIRST // 2
    up_to = list(machine.log.filter(pk__lte=line).order_by("-id")[: half + 1])
    beyond = list(machine.log.filter(pk__gt=line).order_by("id")[: half + 1])
    return Window(
        shown([*up_to[:half][::-1], *beyond[:half]]), older=len(up_to) > half, newer=len(beyond) > half
    )


def _ending(lines: QuerySet[LogLine], *, newer: bool, most: int) -> Window:
    last = list(lines.order_by("-id")[: most + 1])
    return Window(shown(last[:most][::-1]), older=len(last) > most, newer=newer)


def found(machine: Machine, query: Mapping[str, str]) -> dict[str, Any]:
    """The next line after `after`, or the last one before `before`, that says `q`, or with `errors` tells of trouble.

    At the end it goes on from the beginning. `count`: how many there are; null: more than are counted.
    """
    lines = machine.log.filter(printed.is_bad() if "errors" in query else printed.says(query["q"]))
    named = printed.named(lines)
    back = "before" in query
    place = number(query.get("before" if back else "after", ""))
    if named is None:
        return {"id": _met(lines, place, back=back), "count": None}
    ids = sorted(key for _, key in named)
    at = bisect_left(ids, place) - 1 if back else bisect_right(ids, place)
    return {"id": ids[at % len(ids)] if ids else None, "count": len(ids)}


def _met(lines: QuerySet[LogLine], place: int, *, back: bool) -> int | None:
    order = lines.order_by("-id" if back else "id").values_list("pk", flat=True)
    beyond = order.filter(pk__lt=place) if back else order.filter(pk__gt=place)
    return beyond.first() or order.first()


def shown(lines: list[LogLine]) -> list[Line]:
    """The lines as a page shows them."""
    numbers: dict[Any, int] = {}
    made = []
    for line in lines:
        made.append(_shown(line, numbers.get(line.run)))
        if line.stream != _SAID:
            numbers[line.run] = line.number
    return made


def _shown(line: LogLine, previous: int | None) -> Line:
    known = previous is not None and line.stream != _SAID
    return Line(
        id=line.pk,
        at=line.at.isoformat(),
        clock=f"{here(line.at):%H:%M:%S}",
        stream=line.stream,
        text=plain(line.text),
        pieces=ansi.pieces(line.text),
        bad=printed.sounds_bad(line.stream, line.text),
        missing=max(line.number - (previous or 0) - 1, 0) if known else 0,
    )


async def text(lines: AsyncIterable[LogLine]) -> AsyncIterator[str]:
    """The lines as a text file, as they were printed."""
    async for line in lines:
        yield f"{line.at:%Y-%m-%dT%H:%M:%S}Z {line.stream} {line.text}\n"
