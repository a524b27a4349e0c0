"""Amounts, as people read and write them."""

import pytest

from budgets import money
from projects.errors import Invalid


class TestShow:
    @pytest.mark.parametrize(
        ("micros", "text"),
        [
            (5_000_000, "5.00 USD"),
            (1_200, "0.0012 USD"),
            (2_500_000, "2.50 USD"),
            (1, "0.000001 USD"),
            (0, "0.00 USD"),
            (-250_000, "-0.25 USD"),
        ],
    )
    def test_it_shows_as_many_decimals_as_say_something(self, micros: int, text: str) -> None:
        assert money.show(micros, "USD") == text


class TestParse:
    def test_it_reads_units(self) -> None:
        assert money.parse("2.50") == 2_500_000

    @pytest.mark.parametrize(
        "text", ["", "ten", "-1", "0.0000001", "NaN", "Infinity", "1e30", "1e900000", "9" * 5000, "٣"]
    )
    def test_it_refuses_what_is_no_amount(self, text: str) -> None:
        with pytest.raises(Invalid, match="not an amount"):
            money.parse(text)
