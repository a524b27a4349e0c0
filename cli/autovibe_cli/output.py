"""What the user sees: JSON where asked, else lines, tables, colours. Results go to stdout, remarks to stderr.

What is longer than the terminal is shown in a pager; into files and pipes everything goes as it is.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO

from autovibe_cli.errors import Usage

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_STATES = {
    **dict.fromkeys(("running", "captured", "succeeded", "terminated"), "green"),
    **dict.fromkeys(("paused", "pausing", "waiting", "queued", "requested", "broken"), "yellow"),
    **dict.fromkeys(("failed", "needs_operator"), "red"),
}
# What agents print is not trusted with the terminal: colours pass, everything else that steers it does not.
_CONTROL = re.compile(
    r"(\x1b\[[0-9;]*m)|\x1b(?:\][^\x07\x1b]*(?:\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~])?|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_RESET = "\x1b[0m"
# Quits by itself when all is seen, keeps colours, and leaves what was read on the screen.
_PAGER = "less -FRX"


class Output:
    """One command's output."""

    def __init__(self, *, as_json: bool, field: str | None = None) -> None:
        """With `field`, such as "handle" or "results.0.handle", that of the JSON is all that is printed."""
        self.as_json = as_json or field is not None
        self._field = field
        self._terminal = sys.stdout.isatty()
        self._page: list[str] | None = None  # what is held back until it is known how long it is
        self._remarks: list[str] = []
        self._colour = {stream: _wants_colour(stream) for stream in (sys.stdout, sys.stderr)}

    def show(self, answer: Any, render: Callable[[Any], None]) -> None:
        """Print the API's answer: as it is, or as `render` tells it."""
        if self._field is not None:
            found = _picked(answer, self._field)
            print(found if isinstance(found, str) else json.dumps(found, ensure_ascii=False), flush=True)
        elif self.as_json:
            print(json.dumps(answer, indent=2, ensure_ascii=False), flush=True)
        elif self._terminal and sys.stdin.isatty():
            self._paged(lambda: render(answer))
        else:
            render(answer)

    def record(self, **content: Any) -> None:
        """One line of JSON, for what comes in pieces."""
        if self._field is None:
            print(json.dumps(content, ensure_ascii=False), flush=True)

    def line(self, text: str = "", style: str = "") -> None:
        """A line of a result."""
        self._print(self._painted(self._safe(text), style, sys.stdout))

    def notice(self, text: str, style: str = "dim") -> None:
        """A remark that is not part of the result."""
        remark = self._painted(_CONTROL.sub("�", text), style, sys.stderr)
        if self._page is None:
            print(remark, file=sys.stderr, flush=True)
        else:
            self._remarks.append(remark)

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Aligned columns; on a terminal the last one is cut to its width. Cells that are states get their colour."""
        cells = [[self._safe(str(cell)).replace("\n", " ") for cell in row] for row in rows]
        if not cells:
            return
        widths = [max(map(len, column)) for column in zip(headings, *cells)]
        self._row(headings, widths, lambda _: "dim")
        for row in cells:
            self._row(row, widths, lambda cell: _STATES.get(cell, ""))

    def fields(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Names and values below each other; what is None or empty is left out."""
        known = [(name, str(value)) for name, value in pairs if value not in (None, "", [])]
        width = max((len(name) for name, _ in known), default=0)
        for name, value in known:
            label = self._painted(name.ljust(width), "dim", sys.stdout)
            self._print(f"{label}  {self._painted(self._safe(value), _STATES.get(value, ''), sys.stdout)}")

    def diff(self, unified: str) -> None:
        """A unified diff, coloured."""
        for text in unified.split("\n"):
            style = {"+": "green", "-": "red", "@": "cyan"}.get(text[:1], "")
            self.line(text, "bold" if text[:4] in ("--- ", "+++ ") else style)

    def _row(self, cells: Sequence[str], widths: list[int], style: Callable[[str], str]) -> None:
        left = sum(widths[:-1]) + 2 * (len(widths) - 1)
        last = cells[-1]
        if self._terminal and len(last) > (room := max(shutil.get_terminal_size().columns - left, 10)):
            last = last[: room - 1] + "…"
        texts = [*(cell.ljust(width) for cell, width in zip(cells, widths[:-1])), last]
        painted = [self._painted(text, style(cell), sys.stdout) for text, cell in zip(texts, cells)]
        self._print("  ".join(painted).rstrip())

    def _print(self, text: str) -> None:
        if self._page is None:
            print(text, flush=True)
        else:
            self._page.append(text)

    def _paged(self, render: Callable[[], None]) -> None:
        self._page = []
        try:
            render()
        finally:
            lines, self._page = self._page, None
            if sum(text.count("\n") + 1 for text in lines) < shutil.get_terminal_size().lines:
                print("".join(f"{text}\n" for text in lines), end="", flush=True)
            else:
                _page("\n".join(lines))
            remarks, self._remarks = self._remarks, []
            for remark in remarks:
                print(remark, file=sys.stderr, flush=True)

    def _painted(self, text: str, style: str, stream: TextIO) -> str:
        return f"\x1b[{_STYLES[style]}m{text}{_RESET}" if style and text and self._colour[stream] else text

    def _safe(self, text: str) -> str:
        """The text as it may go to stdout: untouched into a file or pipe, harmless on a terminal."""
        if not self._terminal:
            return text
        coloured = self._colour[sys.stdout]
        shown = _CONTROL.sub(
            lambda found: (found[1] if coloured else "") if found[1] else "�", text.rstrip("\r\n")
        )
        return shown + _RESET if coloured and "\x1b" in shown else shown


def _page(text: str) -> None:
    """Show it in the user's pager, or at once where there is none."""
    command = shlex.split(os.environ.get("AUTOVIBE_PAGER", os.environ.get("PAGER", "")) or _PAGER)
    try:
        subprocess.run(command, input=f"{text}\n", text=True, check=False)
    except OSError:
        print(text, flush=True)


def _picked(answer: Any, field: str) -> Any:
    """What is under a name, or under names and numbers with dots between. Raises `Usage`."""
    found = answer
    for name in field.split("."):
        try:
            found = found[int(name)] if isinstance(found, list) else found[name]
        except (KeyError, IndexError, ValueError, TypeError):
            there = ", ".join(found) if isinstance(found, dict) else f"{type(found).__name__}"
            raise Usage(f"The answer has no {field!r}. At {name!r} there is: {there}") from None
    return found


def _wants_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
