"""The colours: in one file, and readable in both themes (WCAG 2.2: 1.4.3 and 1.4.11)."""

import re
from itertools import product
from pathlib import Path

import pytest
from django.conf import settings

CSS = Path(settings.BASE_DIR, "static", "css")
TONES = ("neutral", "info", "ok", "snap", "warn", "bad", "accent")
GROUNDS = ("canvas", "surface", "sunken")
TEXT = [
    *product(("text", "muted"), GROUNDS),
    *product(("link",), ("canvas", "surface", "sunken", "info-bg")),
    *product((f"{tone}-fg" for tone in TONES), ("surface", "canvas")),
    # What agents print may have any colour on any ground.
    *product(
        ("text", "muted", *(f"{tone}-fg" for tone in TONES)), (*(f"{tone}-bg" for tone in TONES), "sunken")
    ),
    ("on-ink", "ink"),
    ("on-ink", "ink-hover"),
]
GRAPHICS = [
    *product(("control-line", "focus"), ("canvas", "surface")),
    *product(TONES, ("surface", "canvas")),
]


def colours(theme: int) -> dict[str, str]:
    source = (CSS / "tokens.css").read_text()
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6})\w*, (#\w{6})\w*\)", source)
    return {name: (light, dark)[theme] for name, light, dark in pairs}


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
class TestBothThemes:
    @pytest.mark.parametrize(("front", "ground"), TEXT, ids="-on-".join)
    def test_text_is_readable(self, theme: int, front: str, ground: str) -> None:
        assert contrast(colours(theme)[front], colours(theme)[ground]) >= 4.5

    @pytest.mark.parametrize(("front", "ground"), GRAPHICS, ids="-on-".join)
    def test_shapes_are_visible(self, theme: int, front: str, ground: str) -> None:
        assert contrast(colours(theme)[front], colours(theme)[ground]) >= 3


@pytest.mark.parametrize(
    "sheet", [path for path in CSS.glob("*.css") if path.name != "tokens.css"], ids=lambda p: p.name
)
def test_no_colour_stands_elsewhere(sheet: Path) -> None:
    assert not re.search(r"#[0-9a-f]{3,8}\b|rgba?\(|hsla?\(|oklch\(", sheet.read_text())
