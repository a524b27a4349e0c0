"""The price book, and pricing the past anew."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from budgets import actions, book, ledger, prices, rerate
from budgets.models import LedgerEntry, PriceOverride, Rerating, Window
from budgets.prices import Usage, price_of
from events.models import Event
from projects.errors import Conflict, Invalid
from projects.models import Project, User

MODEL = "claude-sonnet-4-5"


@pytest.fixture(autouse=True)
def _closed_book() -> Iterator[None]:
    yield
    prices.use(prices.Book())


class TestEnter:
    def test_it_counts_from_now_on_and_the_list_counts_again_when_it_is_withdrawn(self, alice: User) -> None:
        book.refresh(now=True)  # it may hold what an earlier test entered
        listed = price_of(MODEL)
        book.enter(MODEL, {"input": "1", "output": "2"}, by=alice, note="contract")
        book.refresh(now=True)
        assert price_of(MODEL).needs(1, "")["money"] == (1_000_000, 2_000_000)
        assert price_of(MODEL).version == f"{listed.version} + book {PriceOverride.objects.get().pk}"
        book.withdraw(MODEL, by=alice)
        book.refresh(now=True)
        assert price_of(MODEL).tiers == listed.tiers

    def test_a_model_that_nobody_knows_can_be_priced(self, alice: User) -> None:
        book.enter("house-model", {"input": "0", "output": "0.000001"}, by=alice)
        book.refresh(now=True)
        assert price_of("house-model").cost_micros(Usage(10, output_tokens=1_000_000)) == 1

    @pytest.mark.parametrize(
        "rates",
        [
            {},
            {"input": "1"},
            {"input": "-1", "output": "2"},
            {"input": "NaN", "output": "2"},
            {"input": "cheap", "output": "2"},
            {"input": "1", "output": "2", "tea": "3"},
            {"input": "0.0000001", "output": "2"},
        ],
    )
    def test_it_refuses_what_is_no_price(self, alice: User, rates: dict[str, str]) -> None:
        with pytest.raises(Invalid):
            book.enter(MODEL, rates, by=alice)

    def test_what_is_not_in_it_cannot_be_withdrawn(self, alice: User) -> None:
        with pytest.raises(Conflict, match="says nothing of"):
            book.withdraw(MODEL, by=alice)

    @pytest.mark.parametrize("alias", ["claude-sonnet-4-5-20250929", "CLAUDE-SONNET-4-5"])
    def test_it_counts_for_every_name_of_the_model(self, alice: User, alias: str) -> None:
        book.enter(MODEL, {"input": "30", "output": "150"}, by=alice)
        book.refresh(now=True)
        assert price_of(alias).needs(1, "")["money"] == (30_000_000, 150_000_000)

    def test_every_edition_stays_on_record(self, alice: User) -> None:
        for rate in ("1", "2"):
            book.enter(MODEL, {"input": rate, "output": rate}, by=alice)
        assert [page.prices["input"] for page in PriceOverride.objects.all()] == ["2", "1"]
        assert [page.prices["input"] for page in book.current()] == ["2"]
        assert Event.objects.filter(kind="price.entered").count() == 2


class TestFind:
    @pytest.fixture
    def _priced_anew(self) -> Iterator[None]:
        """The ceiling is a setting: prices that were found without it are kept otherwise."""
        prices._price.cache_clear()
        yield
        prices._price.cache_clear()

    @pytest.mark.usefixtures("db", "_priced_anew")
    def test_a_ceiling_is_for_models_that_no_provider_lists(self, settings: Settings) -> None:
        settings.PRICE_CEILING = None
        listed = price_of("gpt-4o", provider="openai")
        settings.PRICE_CEILING = {"input": "20", "output": "100"}
        assert book.price_of("gpt-4o").tiers == listed.tiers
        unlisted = book.price_of("house-model")
        assert (unlisted.needs(1, "")["money"], book.source_of(unlisted)) == (
            (20_000_000, 100_000_000),
            "ceiling",
        )

    @pytest.mark.parametrize("name", [MODEL, "claude-sonnet-4-5-20250929"])
    def test_where_a_price_comes_from_is_said_for_every_name(self, alice: User, name: str) -> None:
        assert book.source_of(book.price_of(name)) == "list"
        book.enter(MODEL, {"input": "1", "output": "2"}, by=alice)
        book.refresh(now=True)
        assert book.source_of(book.price_of(name)) == "book"


class TestRerate:
    USED = Usage(
        1000, cache_write_tokens=100, cache_write_1h_tokens=100, cache_read_tokens=500, output_tokens=200
    )

    @pytest.fixture
    def since(self, project: Project, alice: User) -> datetime:
        """Three calls were made since then, at the list's price: 7,125 micros each."""
        began = timezone.now() - timedelta(seconds=1)
        actions.set_limit(project, "money", 40_000, by=alice)
        actions.set_limit(project, "calls", 10, by=alice)
        for number in range(3):
            grant = actions.reserve_call(
                f"call:{number}",
                payer=actions.Payer(project.id),
                price=price_of(MODEL),
                input_tokens=2000,
                output_tokens=200,
                seconds=60,
            )
            assert isinstance(grant, actions.Grant)
            assert actions.settle(grant.reservation_id, self.USED, price_of(MODEL)) == 7125
        return began

    def double(self, alice: User) -> None:
        book.enter(
            MODEL,
            {"input": "6", "cache_read": "0.6", "cache_write": "7.5", "cache_write_1h": "12", "output": "30"},
            by=alice,
        )
        book.refresh(now=True)

    def test_at_the_same_prices_there_is_nothing_to_correct(self, since: datetime, alice: User) -> None:
        assert rerate.rerate(None, since, timezone.now(), by=alice).entries == 0

    def test_the_difference_is_entered_and_balances_follow(
        self, since: datetime, alice: User, project: Project
    ) -> None:
        self.double(alice)
        until = timezone.now()
        assert rerate.preview(project, since, until) == rerate.Preview(3, 3 * 7125)
        made = rerate.rerate(project, since, until, by=alice)
        assert (made.entries, made.micros) == (3, 3 * 7125)
        money = Window.objects.get(resource="money")
        assert (money.spent, money.overrun) == (40_000, 2 * 3 * 7125 - 40_000)
        assert Window.objects.get(resource="calls").spent == 3
        assert LedgerEntry.objects.filter(kind="rerating").count() == 3
        assert Event.objects.get(kind="ledger.rerated").data["micros"] == 3 * 7125
        assert not ledger.verify()

    def test_doing_it_again_does_nothing_and_back_again_undoes_it(self, since: datetime, alice: User) -> None:
        self.double(alice)
        until = timezone.now()
        rerate.rerate(None, since, until, by=alice)
        assert rerate.rerate(None, since, until, by=alice).entries == 0
        book.withdraw(MODEL, by=alice)
        book.refresh(now=True)
        assert rerate.rerate(None, since, until, by=alice).micros == -3 * 7125
        assert Window.objects.get(resource="money").consumed == 3 * 7125
        assert not ledger.verify()
        assert Rerating.objects.count() == 3

    @pytest.mark.django_db(transaction=True)
    def test_two_at_once_enter_it_once(self, since: datetime, alice: User) -> None:
        self.double(alice)
        until = timezone.now()

        def again(_: int) -> int:
            try:
                return rerate.rerate(None, since, until, by=alice).entries
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as threads:
            assert sorted(threads.map(again, range(4))) == [0, 0, 0, 3]
        assert not ledger.verify()

    def test_only_the_past_is_re_rated(self, alice: User) -> None:
        now = timezone.now()
        for since, until in ((now, now), (now, now - timedelta(1)), (now, now + timedelta(days=1))):
            with pytest.raises(Invalid):
                rerate.rerate(None, since, until, by=alice)
