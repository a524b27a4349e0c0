"""Amounts and times as words."""

from datetime import UTC, datetime, timedelta

import pytest

from dashboard import words
from dashboard.templatetags.look import told

NOW = datetime(2026, 11, 22, 14, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("micros", "places", "expected"),
    [
        (0, 2, "$0.00"),
        (0, 4, "$0.00"),
        (1_840_000, 2, "$1.84"),
        (12_300, 4, "$0.0123"),
        (4_000, 2, "<$0.01"),
        (6_596_000, 2, "$6.60"),
        (1_999_999, 2, "$2.00"),
        (2_500_000_000, 2, "$2,500.00"),
        (-1_500_000, 2, "−$1.50"),
    ],
)
def test_money(micros: int, places: int, expected: str) -> None:
    assert words.money(micros, "USD", places) == expected


def test_money_of_other_places() -> None:
    assert words.money(1_000_000, "EUR") == "€1.00"
    assert words.money(1_000_000, "SEK") == "SEK\N{NO-BREAK SPACE}1.00"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (320, "5 min 20 s"),
        (16_860, "4 h 41 min"),
        (90_061, "1 d 1 h"),
    ],
)
def test_elapsed(seconds: int, expected: str) -> None:
    assert words.elapsed(seconds) == expected


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(seconds=-5), "0 s ago"),
        (timedelta(seconds=12), "12 s ago"),
        (timedelta(minutes=6, seconds=50), "6 min ago"),
        (timedelta(hours=23), "23 h ago"),
        (timedelta(days=1), "21 Nov, 14:02"),
    ],
)
def test_ago(age: timedelta, expected: str) -> None:
    assert words.ago(NOW - age, NOW) == expected


@pytest.mark.parametrize(("amount", "expected"), [(38, "38 B"), (1200, "1.2 kB"), (212_000_000, "212 MB")])
def test_size(amount: int, expected: str) -> None:
    assert words.size(amount) == expected


@pytest.mark.parametrize(("amount", "expected"), [(9_999, "9,999"), (212_300, "212k"), (1_310_000, "1.3M")])
def test_tokens(amount: int, expected: str) -> None:
    assert words.tokens(amount) == expected


@pytest.mark.parametrize(
    ("amount", "expected"), [(None, "–"), (640, "640 ms"), (2_400, "2.4 s"), (80_000, "1 min 20 s")]
)
def test_milliseconds(amount: int | None, expected: str) -> None:
    assert words.milliseconds(amount) == expected


def test_code_in_sentences() -> None:
    assert told("Run `a < b` now.") == "Run <code>a &lt; b</code> now."
