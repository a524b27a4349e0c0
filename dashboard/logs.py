"""Log lines as a page shows them: plain text, in chunks that a browser need not lay out before they are seen."""

import re
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from machines.models import LogLine, Machine

LINES_AT_FIRST = 500
LINES_PER_ANSWER = 2000
CHUNK_LINES = 200
# Terminal control sequences (ECMA-48: CSI, OSC, and two-byte escapes) and other control characters but tab.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|[\x00-\x08\x0b-\x1f\x7f]"
)


def latest(machine: Machine) -> list[LogLine]:
    """The last lines, oldest first."""
    return list(machine.log.order_by("-id")[:LINES_AT_FIRST])[::-1]


def chunks(lines: list[LogLine]) -> list[list[LogLine]]:
    """The lines in parts that the browser skips while they are out of sight."""
    return [lines[at : at + CHUNK_LINES] for at in range(0, len(lines), CHUNK_LINES)]


def after(machine: Machine, last: int) -> dict[str, Any]:
    """The lines after that id, as the page's script takes them."""
    found = list(machine.log.filter(pk__gt=last).order_by("id")[: LINES_PER_ANSWER + 1])
    return {
        "lines": [
            {"id": line.pk, "at": line.at.isoformat(), "stream": line.stream, "text": plain(line.text)}
            for line in found[:LINES_PER_ANSWER]
        ],
        "more": len(found) > LINES_PER_ANSWER,
    }


async def text(lines: AsyncIterable[LogLine]) -> AsyncIterator[str]:
    """The lines as a text file, as they were printed."""
    async for line in lines:
        yield f"{line.at:%Y-%m-%dT%H:%M:%S}Z {line.stream} {line.text}\n"


def plain(printed: str) -> str:
    """Without what only a terminal understands; of a line drawn over itself (`\\r`), the last state."""
    return _CONTROL.sub("", printed.rstrip("\r").rpartition("\r")[2])
