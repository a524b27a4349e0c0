"""The colours of a printed line, as the page's tones: what ECMA-48 calls SGR. Other control sequences are left out."""

import colorsys
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from machines.printed import last_state, plain

PIECES_MAX = 100  # of a line; what follows looks like the last of them
Piece = tuple[str, str]  # text, and the classes it looks by

_SGR = re.compile(r"\x1b\[([0-9;:]{0,100})m")
_TONES = ("", "bad", "ok", "warn", "info", "accent", "snap", "")  # black and white are the text's own colour
_GREY = "neutral"
_BRIGHT_BLACK = 8
_HUES = ((20, "bad"), (70, "warn"), (165, "ok"), (200, "snap"), (255, "info"), (340, "accent"), (361, "bad"))
_FLAT = 0.15  # chroma of what is a grey
_CUBE = (0, 95, 135, 175, 215, 255)


@dataclass(frozen=True)
class _Style:
    front: str = ""
    ground: str = ""
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    strike: bool = False
    inverse: bool = False

    @property
    def classes(self) -> str:
        front, ground = (self.ground, self.front or _GREY) if self.inverse else (self.front, self.ground)
        flags = [name for name in ("bold", "dim", "italic", "underline", "strike") if getattr(self, name)]
        return " ".join(
            f"sgr-{name}" for name in ([front] * bool(front) + [f"on-{ground}"] * bool(ground) + flags)
        )


_SET: dict[int, dict[str, Any]] = {
    1: {"bold": True},
    2: {"dim": True},
    3: {"italic": True},
    4: {"underline": True},
    7: {"inverse": True},
    9: {"strike": True},
    22: {"bold": False, "dim": False},
    23: {"italic": False},
    24: {"underline": False},
    27: {"inverse": False},
    29: {"strike": False},
    39: {"front": ""},
    49: {"ground": ""},
}
_FRONT, _GROUND = {3, 9}, {4, 10}  # by the tens of a code


def pieces(printed: str) -> list[Piece]:
    """The line as `plain` has it, in pieces, each with its classes; none of a line without colours."""
    text = last_state(printed)
    if "\x1b[" not in text:
        return []
    found: list[Piece] = []
    for piece, classes in _styled(text):
        if found and (found[-1][1] == classes or len(found) == PIECES_MAX):
            found[-1] = (found[-1][0] + piece, found[-1][1])
        elif piece:
            found.append((piece, classes))
    return found if any(classes for _, classes in found) else []


def html(text: str, found: list[Piece]) -> SafeString:
    """A text in its pieces as HTML; without any, as it stands."""
    if not found:
        return format_html("{}", text)
    span = '<span class="{}">{}</span>'
    return format_html_join(
        "", "{}", ((format_html(span, look, piece) if look else piece,) for piece, look in found)
    )


def _styled(text: str) -> Iterator[Piece]:
    before, *others = _SGR.split(text)
    yield plain(before), ""
    style = _Style()
    for parameters, piece in zip(others[::2], others[1::2], strict=True):
        style = _after(style, parameters)
        yield plain(piece), style.classes


def _after(style: _Style, parameters: str) -> _Style:
    """The style after such a sequence. What is not known in it changes nothing."""
    fields = iter(parameters.split(";"))
    for text in fields:
        code, *within = map(_number, text.split(":"))
        if code == 0:
            style = _Style()
        elif code in (38, 48):
            tone = _chosen(iter(within) if within else map(_number, fields), whole=bool(within))
            style = _painted(style, code, tone)
        elif code in _SET:
            style = replace(style, **(_SET[24] if (code, within) == (4, [0]) else _SET[code]))
        elif code // 10 in _FRONT | _GROUND and code % 10 < len(_TONES):
            tone = _TONES[code % 10] if code < 90 else _of_index(_BRIGHT_BLACK + code % 10)
            style = _painted(style, code, tone)
    return style


def _painted(style: _Style, code: int, tone: str) -> _Style:
    return replace(style, front=tone) if code // 10 in _FRONT else replace(style, ground=tone)


def _number(text: str) -> int:
    return int(text.partition(":")[0] or 0)


def _chosen(numbers: Iterator[int], *, whole: bool) -> str:
    """The tone of what follows 38 or 48: 5 and an index, or 2 and red, green, blue."""
    kind = next(numbers, 0)
    if kind == 5:
        return _of_index(next(numbers, 0))
    if kind != 2:
        return ""
    rest = (
        list(numbers)[-3:] if whole else [next(numbers, 0) for _ in range(3)]
    )  # before them, a colour space
    return _of_rgb(*[min(part, 255) for part in rest]) if len(rest) == 3 else ""


def _of_index(index: int) -> str:
    if index < 16:
        return _GREY if index == _BRIGHT_BLACK else _TONES[index % 8]
    if index < 232:
        cube = index - 16
        return _of_rgb(_CUBE[cube // 36], _CUBE[cube // 6 % 6], _CUBE[cube % 6])
    return _of_rgb(*[8 + 10 * (min(index, 255) - 232)] * 3)


def _of_rgb(red: int, green: int, blue: int) -> str:
    """The tone of that hue. Greys that are neither dark nor light are muted."""
    low, high = min(red, green, blue) / 255, max(red, green, blue) / 255
    if high - low < _FLAT:
        return _GREY if 0.25 < high < 0.75 else ""
    hue = 360 * colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)[0]
    return next(tone for limit, tone in _HUES if hue < limit)
