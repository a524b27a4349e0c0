"""Pools: a day's money among projects, dealt by greediness once a day and when the terms change."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import connection

from budgets import actions, ledger, requests, sharing, transfers
from budgets.models import Budget, Deal, LedgerEntry, Pool, Window
from budgets.prices import Price, Usage
from budgets.reserve import Grant
from events.models import Event
from projects import actions as projects
from projects.errors import Conflict, Invalid
from projects.models import Project, User
from tests.budgets.conftest import Ask

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def other(alice: User) -> Project:
    return projects.create(slug="other", by=alice)


@pytest.fixture
def pool(project: Project, other: Project, alice: User) -> Pool:
    """Of 1,000 a day, for two projects as greedy as each other."""
    made = sharing.put("house", 1000, by=alice)
    for one in (project, other):
        sharing.join(made, one, by=alice)
    return made


@pytest.fixture
def spend(ask: Ask, price: Price) -> Callable[[int], None]:
    def spend(micros: int) -> None:
        grant = ask(input_tokens=micros, output_tokens=1)
        assert isinstance(grant, Grant)
        actions.settle(grant.reservation_id, Usage(input_tokens=micros), price)

    return spend


def deal() -> int:
    return sharing.deal(lambda ids: {})


def shares() -> dict[str, int]:
    """The limits of today, by project."""
    found = Window.objects.open().filter(budget__pooled=True).order_by("budget__scope")
    return dict(found.values_list("budget__project__slug", "limit"))


def sentences() -> list[str]:
    last = Deal.objects.first()
    assert last is not None
    return [share["sentence"] for share in last.shares]


class TestDeal:
    def test_each_project_gets_its_part_as_the_limit_of_the_day(
        self, pool: Pool, project: Project, alice: User
    ) -> None:
        projects.set_greediness(project, Decimal("0.75"), by=alice)
        assert deal() == 1
        assert shares() == {"demo": 600, "other": 400}
        assert sentences() == ["0.75 × 1 of 1.25 → 0.0006 USD", "0.5 × 1 of 1.25 → 0.0004 USD"]
        assert set(Budget.objects.values_list("pooled", "period")) == {(True, "day")}
        assert Event.objects.filter(kind="pool.dealt").count() == 1
        assert not ledger.verify()

    def test_done_again_it_changes_nothing(self, pool: Pool) -> None:
        deal()
        entries = LedgerEntry.objects.count()
        assert deal() == 0
        assert (Deal.objects.count(), LedgerEntry.objects.count()) == (1, entries)

    def test_the_next_day_is_dealt_anew_with_what_was_achieved(
        self, pool: Pool, project: Project, other: Project, alice: User, clock: time_machine.Traveller
    ) -> None:
        sharing.put("house", 1000, by=alice, adjust=True)
        assert sharing.deal(lambda ids: dict.fromkeys(ids, Decimal("1.00"))) == 1
        clock.shift(timedelta(days=1))
        assert sharing.deal(lambda ids: {project.id: Decimal("1.50"), other.id: Decimal("0.50")}) == 1
        assert shares() == {"demo": 750, "other": 250}
        assert sentences()[0] == "0.5 × 1.5 of 1 → 0.00075 USD"
        assert [day for (day,) in Deal.objects.order_by("id").values_list("day")] == [
            NOON.date(),
            (NOON + timedelta(days=1)).date(),
        ]

    def test_what_was_achieved_counts_only_where_the_pool_says_so(self, pool: Pool, project: Project) -> None:
        sharing.deal(lambda ids: {project.id: Decimal("2.00")})
        assert shares() == {"demo": 500, "other": 500}

    def test_days_begin_where_the_pool_says(
        self, pool: Pool, alice: User, clock: time_machine.Traveller
    ) -> None:
        sharing.put("house", 1000, by=alice, timezone="Asia/Tokyo")
        deal()
        assert set(Window.objects.open().values_list("ends_at", flat=True)) == {NOON.replace(hour=15)}
        clock.shift(timedelta(hours=3))
        assert deal() == 1

    def test_a_greediness_that_changes_holds_for_the_rest_of_the_day(
        self, pool: Pool, project: Project, alice: User, spend: Callable[[int], None]
    ) -> None:
        deal()
        spend(400)
        projects.set_greediness(project, Decimal("0"), by=alice)
        assert deal() == 1
        assert shares() == {"demo": 400, "other": 600}
        assert sentences()[0] == "0 × 1 of 0.5 → 0.0004 USD, spent or held already"

    def test_a_pool_that_shrinks_leaves_what_is_spent_or_held(
        self, pool: Pool, alice: User, spend: Callable[[int], None], ask: Ask
    ) -> None:
        deal()
        spend(200)
        assert isinstance(ask(), Grant)  # 200 more
        sharing.put("house", 300, by=alice)
        deal()
        assert shares() == {"demo": 400, "other": 0}
        assert not ledger.verify()

    def test_at_no_moment_more_is_out_than_the_pool_holds(
        self, pool: Pool, project: Project, alice: User
    ) -> None:
        deal()
        projects.set_greediness(project, Decimal("1"), by=alice)
        before = LedgerEntry.objects.order_by("-id").values_list("pk", flat=True)[0]
        deal()
        moved = LedgerEntry.objects.filter(pk__gt=before).order_by("id").values_list("amounts", flat=True)
        assert [amount for (amount,) in moved] == [-167, 167]

    def test_what_was_transferred_is_no_part_of_the_share(
        self, pool: Pool, project: Project, other: Project, alice: User
    ) -> None:
        deal()
        transfers.propose(project, other, "money", 100, by=alice, period="day")
        assert shares() == {"demo": 400, "other": 600}
        sharing.put("house", 2000, by=alice)
        deal()
        assert shares() == {"demo": 900, "other": 1100}


class TestJoin:
    def test_a_project_is_in_one_pool(self, pool: Pool, project: Project, alice: User) -> None:
        second = sharing.put("second", 10, by=alice)
        with pytest.raises(Conflict, match="is in the pool house already"):
            sharing.join(second, project, by=alice)

    def test_one_with_a_limit_per_day_of_its_own_is_told_what_to_do(self, pool: Pool, alice: User) -> None:
        third = projects.create(slug="third", by=alice)
        actions.set_limit(third, "money", 5, by=alice, period="day")
        with pytest.raises(Conflict, match="bin/autovibe budget remove third money --per day"):
            sharing.join(pool, third, by=alice)

    def test_the_others_get_less_for_the_rest_of_the_day(self, pool: Pool, alice: User) -> None:
        deal()
        sharing.join(pool, projects.create(slug="third", by=alice), by=alice)
        assert deal() == 1
        assert shares() == {"demo": 334, "other": 333, "third": 333}

    def test_a_share_is_changed_and_lifted_through_the_pool_alone(
        self, pool: Pool, project: Project, alice: User
    ) -> None:
        deal()
        with pytest.raises(Conflict, match="from a pool"):
            actions.set_limit(project, "money", 9999, by=alice, period="day")
        with pytest.raises(Conflict, match="from a pool"):
            actions.remove_limit(Budget.objects.get(project=project), by=alice)
        with pytest.raises(Conflict, match="only an administrator"):
            requests.ask(project, "money", 5, by=alice, period="day")
        assert shares() == {"demo": 500, "other": 500}


class TestLeave:
    def test_its_share_goes_to_the_others_but_for_what_it_used_today(
        self,
        pool: Pool,
        project: Project,
        alice: User,
        spend: Callable[[int], None],
        clock: time_machine.Traveller,
    ) -> None:
        deal()
        spend(300)
        sharing.leave(pool, project, by=alice)
        assert not Budget.objects.standing().filter(project=project).exists()
        assert deal() == 1
        assert shares() == {"other": 700}
        clock.shift(timedelta(days=1))
        assert deal() == 1
        assert shares() == {"other": 1000}

    def test_it_may_have_a_limit_of_its_own_again(self, pool: Pool, project: Project, alice: User) -> None:
        deal()
        sharing.leave(pool, project, by=alice)
        assert not actions.set_limit(project, "money", 50, by=alice, period="day").pooled
        with pytest.raises(Conflict, match="is not in the pool"):
            sharing.leave(pool, project, by=alice)

    def test_with_the_pool_all_shares_go(self, pool: Pool, alice: User) -> None:
        deal()
        sharing.dissolve(pool, by=alice)
        assert shares() == {}
        assert deal() == 0
        assert not ledger.verify()


class TestPut:
    @pytest.mark.parametrize(
        "options",
        [
            {"timezone": "Mars/Olympus"}, {"min_percent": 101}, {"max_percent": 0},
            {"min_percent": 60, "max_percent": 50},
        ],
    )  # fmt: skip
    def test_it_refuses_what_is_no_pool(self, alice: User, options: dict[str, object]) -> None:
        with pytest.raises(Invalid):
            sharing.put("house", 1000, by=alice, **options)

    def test_greediness_is_from_0_to_1(self, project: Project, alice: User) -> None:
        for wrong in ("-0.1", "1.01", "0.555", "NaN"):
            with pytest.raises(Invalid):
                projects.set_greediness(project, Decimal(wrong), by=alice)


@pytest.mark.django_db(transaction=True)
def test_two_hubs_deal_a_day_once() -> None:
    alice = User.objects.create_user("alice")
    made = sharing.put("house", 1000, by=alice)
    sharing.join(made, projects.create(slug="demo", by=alice), by=alice)

    def deal_once(_: int) -> int:
        try:
            return deal()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(deal_once, range(8))) == 1
    assert (shares(), Deal.objects.count()) == ({"demo": 1000}, 1)
