"""The colours of printed lines: which tones they become, and that nothing else of them reaches a page."""

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from dashboard import ansi
from machines.models import Machine
from machines.printed import plain
from tests.dashboard import rows
from tests.dashboard.conftest import Browser

ESC = "\x1b["


@pytest.mark.parametrize(
    ("codes", "classes"),
    [
        ("31", "sgr-bad"),
        ("92", "sgr-ok"),
        ("90", "sgr-neutral"),
        ("37", ""),
        ("1;33", "sgr-warn sgr-bold"),
        ("44;36", "sgr-snap sgr-on-info"),
        ("105", "sgr-on-accent"),
        ("2;3;4;9", "sgr-dim sgr-italic sgr-underline sgr-strike"),
        ("7", "sgr-on-neutral"),
        ("31;7", "sgr-on-bad"),
        ("1;31;0", ""),
        ("31;", ""),
        ("1;4;22;24", ""),
        ("31;42;39;49", ""),
        ("4:3", "sgr-underline"),
        ("4:0", ""),
        ("38;5;1", "sgr-bad"),
        ("38;5;8", "sgr-neutral"),
        ("38;5;33", "sgr-info"),
        ("38;5;208;1", "sgr-warn sgr-bold"),
        ("38;5;244", "sgr-neutral"),
        ("38;5;255", ""),
        ("38:5:34", "sgr-ok"),
        ("48;2;10;200;190", "sgr-on-snap"),
        ("38;2;255;0;60", "sgr-bad"),
        ("38:2::140:40:255", "sgr-accent"),
        ("38:2:140:40:255", "sgr-accent"),
        ("38;2;250;250;250", ""),
        ("38;2;999;0;0", "sgr-bad"),
        ("38;2;1", ""),
        ("38", ""),
        ("999;12;33", "sgr-warn"),
        ("38;5:7;1", "sgr-bad"),
    ],
)
def test_a_colour_becomes_the_nearest_tone(codes: str, classes: str) -> None:
    assert ansi.pieces(f"{ESC}{codes}mtext") == ([("text", classes)] if classes else [])


def test_a_line_comes_in_pieces_as_its_colours_change() -> None:
    line = f"a {ESC}31mred {ESC}1mand bold{ESC}0m b{ESC}0m c"

    assert ansi.pieces(line) == [
        ("a ", ""),
        ("red ", "sgr-bad"),
        ("and bold", "sgr-bad sgr-bold"),
        (" b c", ""),
    ]


def test_a_line_without_colours_has_no_pieces() -> None:
    assert ansi.pieces("plain") == ansi.pieces(f"{ESC}2Kplain") == ansi.pieces(f"{ESC}0mplain{ESC}m") == []


def test_of_a_line_drawn_over_itself_the_last_state_is_coloured() -> None:
    assert ansi.pieces(f"{ESC}31m10 %\r{ESC}32m100 %{ESC}0m\r") == [("100 %", "sgr-ok")]


def test_other_sequences_are_left_out() -> None:
    line = f"{ESC}?25l\x1b]0;title\x07{ESC}31mred{ESC}K\x1b]8;;http://x.test\x1b\\link\x07"

    assert ansi.pieces(line) == [("redlink", "sgr-bad")]


@given(
    st.lists(
        st.sampled_from([ESC, "\x1b", "\x1b]", "m", "31", ";", ":", "38", "5", "\r", "\x07", "<a>", "x"])
    )
)
def test_the_pieces_are_the_plain_text(parts: list[str]) -> None:
    line = "".join(parts)
    found = ansi.pieces(line)

    assert not found or "".join(text for text, _ in found) == plain(line)


def test_a_line_of_nothing_but_colours_is_no_burden() -> None:
    line = "".join(f"{ESC}3{number % 7 + 1}mx" for number in range(3000))

    found = ansi.pieces(line)

    assert len(found) == ansi.PIECES_MAX
    assert "".join(text for text, _ in found) == "x" * 3000


def test_numbers_beyond_all_measure_change_nothing() -> None:
    assert ansi.pieces(f"{ESC}{'9' * 5000}mtext") == []


class TestThePage:
    @pytest.fixture
    def bob(self, browser: Browser) -> Client:
        return browser("bob")

    @pytest.fixture(autouse=True)
    def _printed(self, machine: Machine) -> None:
        rows.log(machine, f"{ESC}31m<script>alert(1)</script>{ESC}0m & so on", "\x1b[32merror\x1b[0m")

    def test_it_is_coloured_and_escaped(self, bob: Client, machine: Machine) -> None:
        page = bob.get(f"/machines/{machine.handle}/").content.decode()

        assert (
            '<span><span class="sgr-bad">&lt;script&gt;alert(1)&lt;/script&gt;</span> &amp; so on</span>'
        ) in page

    def test_live_lines_have_the_same_pieces(self, bob: Client, machine: Machine) -> None:
        *_, line, _ = bob.get(f"/machines/{machine.handle}/log.json?after=0").json()["lines"]

        assert line["text"] == "<script>alert(1)</script> & so on"
        assert line["pieces"] == [["<script>alert(1)</script>", "sgr-bad"], [" & so on", ""]]

    def test_what_tells_of_trouble_does_in_any_colour(self, bob: Client, machine: Machine) -> None:
        *_, line = bob.get(f"/machines/{machine.handle}/log.json?after=0").json()["lines"]

        assert line["bad"]

    @pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
    def test_a_file_of_it_is_as_it_was_printed(self, bob: Client, machine: Machine) -> None:
        response = bob.get(f"/machines/{machine.handle}/log.txt")

        assert "\x1b[32merror" in b"".join(response).decode()
