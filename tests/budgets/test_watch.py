"""What is said on the way to the end of a budget; overruns as they grow; and periods that begin by themselves."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection

from budgets import actions, audit, journal, ledger, watch
from budgets.models import Budget, Window
from budgets.prices import Price, Usage
from budgets.reserve import Grant
from events.models import Event
from projects.models import Project, User
from tests.budgets.conftest import Ask, balance, window

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def budget(project: Project, alice: User) -> Budget:
    return actions.set_limit(project, "money", 1000, by=alice, period="day")


@pytest.fixture
def spend(ask: Ask, price: Price):
    def spend(micros: int, held: int | None = None) -> None:
        grant = ask(input_tokens=held or micros, output_tokens=1)
        assert isinstance(grant, Grant)
        actions.settle(grant.reservation_id, Usage(input_tokens=micros), price)

    return spend


def said(kind: str) -> list[dict]:
    return [event.data for event in Event.objects.filter(kind=kind).order_by("id")]


class TestWarning:
    def test_nothing_is_said_before_the_first_mark(self, budget: Budget, spend) -> None:
        spend(499)
        watch.watch()
        assert said("budget.warning") == []

    def test_a_mark_is_said_once_with_a_sentence(self, budget: Budget, spend) -> None:
        spend(500)
        watch.watch()
        spend(10)
        watch.watch()
        (warning,) = said("budget.warning")
        assert (warning["mark"], warning["percent"]) == (50, 50)
        assert warning["sentence"] == "Project demo has used 50 % of its 0.001 USD per day."

    def test_of_several_marks_that_were_passed_at_once_the_highest_is_said(
        self, budget: Budget, spend
    ) -> None:
        spend(800)
        watch.watch()
        spend(150)
        watch.watch()
        assert [warning["mark"] for warning in said("budget.warning")] == [75, 90]

    def test_marks_are_the_budgets_own(self, project: Project, alice: User, spend) -> None:
        actions.set_limit(project, "money", 1000, by=alice, marks=[10])
        spend(990)
        watch.watch()
        assert [warning["mark"] for warning in said("budget.warning")] == [10]

    def test_what_is_only_held_is_no_reason_to_warn(self, budget: Budget, ask: Ask) -> None:
        ask(input_tokens=900, output_tokens=1)
        watch.watch()
        assert said("budget.warning") == []

    def test_a_new_period_warns_anew(self, budget: Budget, spend, clock: time_machine.Traveller) -> None:
        spend(600)
        watch.watch()
        clock.shift(timedelta(days=1))
        watch.watch()
        spend(600)
        watch.watch()
        assert [warning["mark"] for warning in said("budget.warning")] == [50, 50]

    def test_a_rate_a_minute_warns_of_nothing(
        self, budget: Budget, project: Project, alice: User, spend
    ) -> None:
        actions.set_limit(project, "calls", 1, by=alice, period="minute")
        spend(10)
        watch.watch()
        assert said("budget.warning") == []

    def test_a_limit_of_nothing_that_was_never_used_is_silent(self, project: Project, alice: User) -> None:
        actions.set_limit(project, "money", 0, by=alice)
        watch.watch()
        assert said("budget.warning") == []


class TestOverrun:
    def test_it_is_said_once_and_again_as_it_grows(self, budget: Budget, spend) -> None:
        spend(1040, held=998)
        watch.watch()
        watch.watch()
        assert [(one["by_amount"], one["scope"]) for one in said("budget.overrun")] == [(40, "Project demo")]

    def test_it_is_said_of_a_period_that_is_over_too(
        self, budget: Budget, ask: Ask, price: Price, clock: time_machine.Traveller
    ) -> None:
        grant = ask(input_tokens=100, output_tokens=1)
        assert isinstance(grant, Grant)
        clock.shift(timedelta(days=1))
        watch.watch()
        actions.settle(grant.reservation_id, Usage(input_tokens=1100), price)
        watch.watch()
        assert [one["by_amount"] for one in said("budget.overrun")] == [100]

    def test_one_that_a_raised_limit_paid_for_is_said_again_when_it_comes_back(
        self, budget: Budget, project: Project, alice: User, spend
    ) -> None:
        spend(1040, held=998)
        watch.watch()
        actions.set_limit(project, "money", 1100, by=alice, period="day")
        watch.watch()
        spend(100, held=58)
        watch.watch()
        assert [one["by_amount"] for one in said("budget.overrun")] == [40, 40]


class TestPeriods:
    def test_a_period_begins_although_nobody_calls(
        self, budget: Budget, spend, clock: time_machine.Traveller
    ) -> None:
        spend(900)
        clock.shift(timedelta(days=3))
        watch.watch()
        assert balance(budget) == (0, 0, 0)
        assert window(budget).starts_at == datetime(2026, 3, 31, tzinfo=UTC)
        assert not ledger.verify()

    def test_it_begins_once(self, budget: Budget, clock: time_machine.Traveller) -> None:
        clock.shift(timedelta(days=1))
        watch.watch()
        watch.watch()
        assert Window.objects.count() == 2

    def test_minutes_are_left_to_calls(
        self, project: Project, alice: User, clock: time_machine.Traveller
    ) -> None:
        actions.set_limit(project, "calls", 5, by=alice, period="minute")
        clock.shift(timedelta(minutes=5))
        assert watch.begin_periods(NOON + timedelta(minutes=5)) == 0


class TestInvariant:
    def test_its_figures_are_the_sums_of_what_is_open(
        self, budget: Budget, project: Project, alice: User, spend, ask: Ask
    ) -> None:
        actions.set_limit(project, "money", 600, by=alice)
        spend(100)
        ask(input_tokens=98, output_tokens=1)
        found = watch.invariant()
        assert (found.violations, found.windows) == (0, 2)
        (money,) = found.totals
        assert (money.resource, money.limit, money.reserved, money.spent) == ("money", 1600, 200, 200)


class TestMinutes:
    """A rate has a balance for every minute in which something was called."""

    @pytest.fixture
    def rate(self, project: Project, alice: User, spend, clock: time_machine.Traveller) -> Budget:
        actions.set_limit(project, "money", 10_000, by=alice)
        rate = actions.set_limit(project, "calls", 5, by=alice, period="minute")
        for _ in range(3):
            spend(10)
            clock.shift(timedelta(minutes=1))
        return rate

    def test_balances_of_past_minutes_are_forgotten_with_their_holds(
        self, rate: Budget, clock: time_machine.Traveller
    ) -> None:
        assert watch.forget_minutes() == 0
        clock.shift(ledger.KEPT)
        watch.tend()
        assert rate.windows.count() == 1
        assert rate.windows.get().closed_at is None
        assert not ledger.verify()

    def test_the_ledger_shows_that_the_limit_was_set_and_not_that_minutes_began(
        self, rate: Budget, project: Project, clock: time_machine.Traveller
    ) -> None:
        clock.shift(ledger.KEPT)
        for _ in range(2):
            shown = journal.page(project, journal.Filter(kind="limit")).entries
            assert [(entry.label, entry.actor) for entry in shown] == [("calls", "alice"), ("money", "alice")]
            watch.forget_minutes()

    def test_overruns_to_tell_of_are_found_by_an_index(self, rate: Budget) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
        assert "budgets_overrun_untold" in watch.untold().explain()


class TestAudit:
    def test_the_ledger_is_verified_once_a_day(
        self, budget: Budget, spend, clock: time_machine.Traveller
    ) -> None:
        spend(10)
        assert (audit.verify(), audit.verify()) == (0, None)
        clock.shift(timedelta(days=1, seconds=1))
        assert audit.verify() == 0
        assert [event.kind for event in Event.objects.filter(subject="ledger")] == ["ledger.agrees"] * 2

    def test_a_balance_that_differs_is_told(self, budget: Budget) -> None:
        Window.objects.update(spent=3)
        assert audit.verify() == 1
        assert said("ledger.differs") == [{"differences": 1, "windows": [Window.objects.get().pk]}]
