"""Periods: a new one begins with a full limit, with what was left over if so wished, and never twice."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from budgets import actions, ledger
from budgets.models import Budget, LedgerEntry, Window
from budgets.prices import Price, Usage
from budgets.reserve import Grant, Shortage
from projects import actions as projects
from projects.errors import Invalid
from projects.models import Project, User
from tests.budgets.conftest import Ask, balance, window

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)  # a Saturday; in Berlin the clocks go forward that night


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def spend(ask: Ask, price: Price, micros: int) -> None:
    grant = ask(input_tokens=micros, output_tokens=1)
    assert isinstance(grant, Grant)
    actions.settle(grant.reservation_id, Usage(input_tokens=micros), price)


class TestRenewal:
    def test_a_new_day_begins_with_the_whole_limit(
        self, project: Project, alice: User, ask: Ask, price: Price, clock: time_machine.Traveller
    ) -> None:
        budget = actions.set_limit(project, "money", 1000, by=alice, period="day")
        spend(ask, price, 900)
        assert isinstance(ask(), Shortage)
        clock.shift(timedelta(hours=12))
        spend(ask, price, 900)
        assert window(budget).starts_at == datetime(2026, 3, 29, tzinfo=UTC)
        assert list(Window.objects.values_list("spent", flat=True)) == [900, 900]
        assert not ledger.verify()

    def test_what_was_held_before_is_settled_where_it_was_held(
        self, project: Project, alice: User, ask: Ask, price: Price, clock: time_machine.Traveller
    ) -> None:
        budget = actions.set_limit(project, "money", 1000, by=alice, period="day")
        grant = ask()
        assert isinstance(grant, Grant)
        clock.shift(timedelta(days=1))
        spend(ask, price, 10)
        actions.settle(grant.reservation_id, Usage(input_tokens=100), price)
        assert list(Window.objects.values_list("reserved", "spent")) == [(0, 100), (0, 10)]
        assert balance(budget) == (0, 10, 0)
        assert not ledger.verify()

    @pytest.mark.parametrize(
        ("period", "starts", "ends"),
        [
            ("minute", datetime(2026, 3, 28, 12, 0), datetime(2026, 3, 28, 12, 1)),
            ("hour", datetime(2026, 3, 28, 12, 0), datetime(2026, 3, 28, 13, 0)),
            ("day", datetime(2026, 3, 27, 23), datetime(2026, 3, 28, 23)),
            ("week", datetime(2026, 3, 22, 23), datetime(2026, 3, 29, 22)),  # an hour short
            ("month", datetime(2026, 2, 28, 23), datetime(2026, 3, 31, 22)),
        ],
    )
    def test_days_weeks_and_months_are_those_of_the_budgets_time_zone(
        self, project: Project, alice: User, period: str, starts: datetime, ends: datetime
    ) -> None:
        budget = actions.set_limit(project, "calls", 10, by=alice, period=period, timezone="Europe/Berlin")
        now = window(budget)
        assert (now.starts_at, now.ends_at) == (starts.replace(tzinfo=UTC), ends.replace(tzinfo=UTC))

    def test_periods_that_nobody_used_are_passed_over(
        self, project: Project, alice: User, ask: Ask, clock: time_machine.Traveller
    ) -> None:
        actions.set_limit(project, "money", 1000, by=alice, period="hour")
        clock.shift(timedelta(days=400))
        ask()
        assert Window.objects.count() == 2

    def test_a_clock_that_jumps_ahead_and_back_gives_nothing_twice_and_takes_nothing_away(
        self, project: Project, alice: User, ask: Ask, price: Price, clock: time_machine.Traveller
    ) -> None:
        budget = actions.set_limit(project, "money", 1000, by=alice, period="day")
        spend(ask, price, 300)
        clock.shift(timedelta(days=400))
        spend(ask, price, 400)
        clock.shift(timedelta(days=-400))
        ask()
        assert (window(budget).limit, window(budget).starts_at.date()) == (300, NOON.date())
        clock.shift(timedelta(days=1))
        spend(ask, price, 900)
        assert window(budget).limit == 1000
        assert not ledger.verify()


class TestCarryOver:
    def test_what_a_period_leaves_is_added_to_the_next(
        self, project: Project, alice: User, ask: Ask, price: Price, clock: time_machine.Traveller
    ) -> None:
        budget = actions.set_limit(project, "money", 1000, by=alice, period="day", carry_over=True)
        spend(ask, price, 300)
        clock.shift(timedelta(days=1))
        ask()
        assert window(budget).limit == 1700

    def test_unused_periods_in_between_count(
        self, project: Project, alice: User, ask: Ask, price: Price, clock: time_machine.Traveller
    ) -> None:
        budget = actions.set_limit(project, "money", 1000, by=alice, period="day", carry_over=True)
        spend(ask, price, 300)
        clock.shift(timedelta(days=3))
        ask()
        assert window(budget).limit == 3700
        assert not ledger.verify()

    def test_what_is_still_held_is_not_carried(
        self, project: Project, alice: User, ask: Ask, clock: time_machine.Traveller
    ) -> None:
        budget = actions.set_limit(project, "money", 1000, by=alice, period="day", carry_over=True)
        ask()
        clock.shift(timedelta(days=1))
        ask()
        assert window(budget).limit == 1800

    @pytest.mark.parametrize("period", ["total", "minute"])
    def test_nothing_can_be_carried_from_what_does_not_end_or_is_a_rate(
        self, project: Project, alice: User, period: str
    ) -> None:
        with pytest.raises(Invalid, match="carried over"):
            actions.set_limit(project, "money", 1, by=alice, period=period, carry_over=True)


class TestRate:
    def test_a_call_too_many_in_a_minute_waits_for_the_next(
        self, project: Project, alice: User, ask: Ask, clock: time_machine.Traveller
    ) -> None:
        actions.set_limit(project, "money", 10**6, by=alice)
        actions.set_limit(project, "calls", 2, by=alice, period="minute")
        assert isinstance(ask(), Grant)
        assert isinstance(ask(), Grant)
        clock.shift(timedelta(seconds=20))
        shortage = ask()
        assert isinstance(shortage, Shortage)
        assert (shortage.passing, shortage.retry_after_seconds) == (True, 40)
        assert shortage.sentence == "Project demo may use 2 calls a minute. Try again in the next."
        clock.shift(timedelta(seconds=40))
        assert isinstance(ask(), Grant)


class TestSeveralAtOnce:
    def test_a_call_has_to_fit_every_period_and_holder(self, project: Project, alice: User, ask: Ask) -> None:
        actions.set_limit(project, "money", 10_000, by=alice)
        actions.set_limit(project, "money", 400, by=alice, period="day")
        actions.change_limit(actions.Holder.of_system(), "money", 5_000, by=alice)
        actions.change_limit(actions.Holder.of_member(project, alice), "money", 300, by=alice)
        assert isinstance(ask(member_id=alice.pk), Grant)
        short = ask(member_id=alice.pk)
        assert isinstance(short, Shortage)
        assert "Member alice of demo" in short.sentence
        assert isinstance(ask(), Grant)
        short = ask()
        assert isinstance(short, Shortage)
        assert "Project demo has 0.00 USD free" in short.sentence
        assert list(Window.objects.order_by("id").values_list("reserved", flat=True)) == [400, 400, 400, 200]

    def test_a_hubs_limit_holds_for_all_its_projects_together(
        self, project: Project, alice: User, price: Price
    ) -> None:
        other = projects.create(slug="other", by=alice)
        elsewhere = projects.create(slug="elsewhere", by=alice)
        projects.set_hub(elsewhere, "research", by=alice)
        for one in (project, other, elsewhere):
            actions.set_limit(one, "money", 10_000, by=alice)
        actions.change_limit(actions.Holder.of_hub("primary"), "money", 300, by=alice)
        asked = [
            actions.reserve_call(
                one.slug,
                payer=actions.Payer(one.id, hub=one.hub),
                price=price,
                input_tokens=100,
                output_tokens=50,
                minimum_output_tokens=50,
                seconds=60,
            )
            for one in (project, other, elsewhere)
        ]
        assert [isinstance(one, Grant) for one in asked] == [True, False, True]
        short = asked[1]
        assert isinstance(short, Shortage)
        assert short.sentence.startswith("Hub primary has 0.0001 USD free")


class TestRemoveLimit:
    def test_what_was_limited_no_longer_is_and_what_was_held_is_settled(
        self, project: Project, alice: User, ask: Ask, price: Price
    ) -> None:
        actions.set_limit(project, "money", 10**6, by=alice)
        calls = actions.set_limit(project, "calls", 1, by=alice)
        grant = ask()
        assert isinstance(grant, Grant)
        actions.remove_limit(calls, by=alice)
        assert isinstance(ask(), Grant)
        actions.settle(grant.reservation_id, Usage(output_tokens=1), price)
        assert Window.objects.get(budget=calls).spent == 1
        assert not ledger.verify()

    def test_it_can_be_set_again(self, project: Project, alice: User) -> None:
        actions.remove_limit(actions.set_limit(project, "calls", 1, by=alice), by=alice)
        actions.set_limit(project, "calls", 2, by=alice)
        assert Budget.objects.standing().get().limit == 2


class TestLanding:
    def test_what_is_kept_back_is_granted_last_and_said(
        self, project: Project, alice: User, ask: Ask
    ) -> None:
        actions.set_limit(project, "money", 1000, by=alice, landing_percent=40)
        grants = [ask() for _ in range(6)]
        assert [isinstance(one, Grant) and one.landing for one in grants[:5]] == [
            False,
            False,
            False,
            True,
            True,
        ]
        assert isinstance(grants[5], Shortage)

    def test_an_answer_is_cut_before_it_eats_into_what_is_kept_back(
        self, project: Project, alice: User, ask: Ask
    ) -> None:
        actions.set_limit(project, "money", 200, by=alice, landing_percent=20)
        grant = ask()
        assert isinstance(grant, Grant)
        assert (grant.units, grant.landing) == (30, False)


class TestLedgerOfLimits:
    def test_every_change_of_a_limit_is_entered(self, project: Project, alice: User) -> None:
        actions.set_limit(project, "money", 1000, by=alice)
        actions.set_limit(project, "money", 700, by=alice)
        entered = LedgerEntry.objects.order_by("id").values_list("kind", "amounts", "actor")
        assert list(entered) == [("limit", [1000], "alice"), ("limit", [-300], "alice")]
