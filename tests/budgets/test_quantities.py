"""Amounts as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgets import quantities
from budgets.resources import Resource
from projects.errors import Invalid


@pytest.mark.parametrize(
    ("text", "resource", "amount"),
    [
        ("2.50", "money", 2_500_000),
        ("1,250.5", "money", 1_250_500_000),
        ("200,000", "tokens", 200_000),
        ("1.5", "memory_mb_seconds", 5_400_000),
        ("0.25", "network_bytes", 250_000_000),
        ("90", "wall_seconds", 90),
        ("1h 30m", "wall_seconds", 5400),
        ("1.5h", "cpu_seconds", 5400),
        ("2d", "wall_seconds", 172_800),
    ],
)
def test_it_reads_them_in_their_units(text: str, resource: str, amount: int) -> None:
    assert quantities.parse(text, resource) == amount


@pytest.mark.parametrize(
    ("text", "resource"),
    [("2,50", "money"), ("-1", "calls"), ("1.5", "calls"), ("", "tokens"), ("1x", "wall_seconds"),
     ("NaN", "network_bytes"), ("inf", "tokens"), ("1e30", "tokens"), ("ten", "money"),
     ("1e900000", "tokens"), ("1e999999", "network_bytes"), ("9" * 5000, "calls"), ("9" * 5000 + "h", "wall_seconds")],
)  # fmt: skip
def test_it_refuses_what_it_would_have_to_guess(text: str, resource: str) -> None:
    with pytest.raises(Invalid):
        quantities.parse(text, resource)


@given(st.integers(0, 2**50), st.sampled_from(Resource.values))
def test_what_it_writes_it_reads_back(amount: int, resource: str) -> None:
    assert quantities.parse(quantities.typed(amount, resource), resource) == amount
