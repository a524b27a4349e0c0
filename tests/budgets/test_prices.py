"""Prices: the list's, ours, and the ones nobody knows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from budgets import prices
from budgets.errors import UnknownPrice
from budgets.prices import Price, Rates, Usage, price_of
from budgets.resources import amount_of

MODELS = ["claude-opus-5-5", "claude-sonnet-4-5", "claude-haiku-5-5", "autovibe-offline"]
counts = st.integers(0, 2_000_000)
usages = st.builds(Usage, counts, counts, counts, counts, counts)


class TestPriceOf:
    def test_it_knows_the_list(self) -> None:
        rates = price_of("claude-sonnet-4-5").tiers[0][1]
        assert rates == Rates(
            input=3_000_000,
            cache_read=300_000,
            cache_write=3_750_000,
            cache_write_1h=6_000_000,
            output=15_000_000,
            web_search=10_000_000_000,
        )

    def test_it_knows_dated_names(self) -> None:
        assert price_of("claude-opus-5-5-20260901").tiers == price_of("claude-opus-5-5").tiers

    def test_it_knows_other_providers(self) -> None:
        assert price_of("gpt-4o", provider="openai").needs(1)["money"][1] == 10_000_000

    @pytest.mark.parametrize("model", ["claude-foo-99", "", "gpt-4o"])
    def test_it_refuses_a_model_without_a_price(self, model: str) -> None:
        with pytest.raises(UnknownPrice, match="no price for the model"):
            price_of(model)

    def test_it_prefers_an_override(self, settings: Settings) -> None:
        settings.PRICE_OVERRIDES = {"claude-opus-5-5": {"input": "1", "output": "2"}}
        price = price_of("claude-opus-5-5")
        assert price.needs(1)["money"] == (1_000_000, 2_000_000)

    def test_it_refuses_an_override_that_cannot_be_read(self, settings: Settings) -> None:
        settings.PRICE_OVERRIDES = {"mine": {"input": "cheap"}}
        with pytest.raises(UnknownPrice, match="'mine'"):
            price_of("mine")


class TestVersion:
    def test_it_names_the_list_and_changes_with_the_overrides(self, settings: Settings) -> None:
        plain = prices.version()
        settings.PRICE_OVERRIDES = {"mine": {"input": "1", "output": "2"}}
        assert plain.startswith("genai-prices ")
        assert prices.version().startswith(f"{plain} + ")


class TestCost:
    def test_it_counts_cached_and_new_tokens_apart(self) -> None:
        usage = Usage(input_tokens=1200, cache_read_tokens=5000, cache_write_tokens=300, output_tokens=1000)
        assert price_of("claude-sonnet-4-5").cost_micros(usage) == 21_225

    def test_it_takes_the_tier_that_the_prompt_reaches(self) -> None:
        price = price_of("claude-sonnet-4-5")
        assert price.cost_micros(Usage(input_tokens=200_000)) == 600_000
        assert price.cost_micros(Usage(input_tokens=200_001)) == 1_200_006

    def test_it_rounds_up_once(self) -> None:
        price = Price("cheap", "test", ((0, Rates(1, 1, 1, 1, 1)),))
        assert price.cost_micros(Usage(input_tokens=1, output_tokens=1)) == 1

    @given(usage=usages, model=st.sampled_from(MODELS), slack=counts)
    def test_it_never_exceeds_the_bound(self, usage: Usage, model: str, slack: int) -> None:
        price = price_of(model)
        bound = price.needs(usage.prompt_tokens + slack)["money"]
        assert price.cost_micros(usage) <= amount_of(bound, usage.output_tokens)

    def test_the_bound_knows_which_kind_of_writing_to_the_cache_is_possible(self) -> None:
        price = price_of("claude-sonnet-4-5")  # 3 USD, 3.75 to keep it for five minutes, 6 for an hour
        assert [price.needs(1, kind)["money"][0] for kind in ("", "5m", "1h")] == [
            3_000_000,
            3_750_000,
            6_000_000,
        ]

    def test_what_is_free_still_counts(self) -> None:
        free = price_of("claude-sonnet-4-5").free
        assert free.needs(10)["money"] == (0, 0)
        assert free.needs(10)["tokens"] == (10_000_000, 1_000_000)


class TestCeiling:
    def test_a_model_without_a_price_costs_the_ceiling_if_there_is_one(self, settings: Settings) -> None:
        settings.PRICE_CEILING = {"input": "20", "output": "100"}
        price = price_of("nobody-knows-this")
        assert price.needs(1, "")["money"] == (20_000_000, 100_000_000)
        assert price.version.endswith("ceiling")
