"""A price that can be reckoned in one's head."""

import pytest

from budgets.prices import Price, Rates


@pytest.fixture
def price() -> Price:
    """One micro per token read, two per token written."""
    rates = Rates(
        input=1_000_000, cache_read=100_000, cache_write=1_000_000, cache_write_1h=1_000_000, output=2_000_000
    )
    return Price("test-model", "test", ((0, rates),))
