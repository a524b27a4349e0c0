"""A balance's past from the ledger, and the forecast that follows from it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone

from budgets import burn
from budgets.forecast import Forecast, TooShort
from budgets.limits import Holder
from budgets.models import Budget, LedgerEntry, Window
from machines.models import Machine
from projects.models import Project
from tests.budgets.rows import charged, entry
from tests.dashboard import rows

DAY = timedelta(days=1)


@pytest.fixture
def now() -> datetime:
    """The noon of the latest Friday: what is forecast of weekends depends on the day."""
    noon = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)
    return noon - (noon.weekday() - 4) % 7 * DAY - 7 * DAY


def spend(window: Window, since: datetime, until: datetime, micros: int = 1_000) -> None:
    """So much every hour, on that balance."""
    hours = int((until - since) / timedelta(hours=1))
    LedgerEntry.objects.bulk_create(
        charged(window, since + number * timedelta(hours=1), micros) for number in range(hours)
    )


def window_of(budget: Budget) -> Window:
    return Window.objects.select_related("budget__project").get(budget=budget, closed_at=None)


class TestABudgetForGood:
    @pytest.fixture
    def window(self, project: Project, now: datetime) -> Window:
        budget = rows.budget(project, 1_000_000, spent_micros=480_000)
        budget.windows.update(starts_at=now - 20 * DAY)
        window = window_of(budget)
        spend(window, now - 20 * DAY, now)
        return window

    def test_it_is_forecast_from_its_ledger(self, window: Window, now: datetime) -> None:
        found = burn.of(window, now)

        assert isinstance(found.forecast, Forecast)
        assert found.until == now + burn.AHEAD
        assert found.forecast.runs_out[1] is not None
        assert (found.forecast.runs_out[1] - now) / DAY == pytest.approx(520 / 24, abs=1.5)

    def test_the_line_ends_at_what_is_consumed(self, window: Window, now: datetime) -> None:
        line = burn.of(window, now).line

        assert line[0] == (window.starts_at, 0)
        assert line[-1] == (now, 480_000)
        assert [total for _, total in line] == sorted(total for _, total in line)

    def test_a_higher_limit_is_forecast_without_setting_it(self, window: Window, now: datetime) -> None:
        ahead = burn.of(window, now, limit=50_000_000).forecast

        assert isinstance(ahead, Forecast)
        assert ahead.lasts

    def test_what_other_budgets_and_changes_of_limits_moved_does_not_count(
        self, window: Window, project: Project, now: datetime
    ) -> None:
        before = burn.of(window, now)
        charged(window, now - DAY, 9_000_000, kind=LedgerEntry.Kind.LIMIT).save()
        entry(project, now - DAY, 9_000_000, windows=[window.pk + 1], amounts=[9_000_000]).save()

        assert burn.of(window, now) == before

    def test_it_is_one_query(
        self, window: Window, now: datetime, django_assert_num_queries: pytest.FixtureRequest
    ) -> None:
        with django_assert_num_queries(1):
            burn.of(window, now)

    def test_what_was_held_before_midnight_counts_when_the_past_begins_with_the_month(
        self, window: Window
    ) -> None:
        begin = datetime(2026, 3, 1, tzinfo=UTC)
        Window.objects.filter(pk=window.pk).update(starts_at=begin - DAY, spent=70)
        window = window_of(window.budget)
        held_before = charged(window, begin + timedelta(minutes=2), 70)
        held_before.month = date(2026, 2, 1)
        held_before.save()

        line = burn.of(window, begin + burn.BACK).line

        assert (line[0], line[-1]) == ((begin, 0), (begin + burn.BACK, 70))


class TestShortHistories:
    def test_a_budget_of_the_day_before_yesterday_says_so(self, project: Project, now: datetime) -> None:
        window = window_of(rows.budget(project))
        spend(window, now - 2 * DAY, now)

        assert burn.of(window, now).forecast == TooShort(1, "full days")

    def test_a_machine_s_budget_is_forecast_from_its_minutes(
        self, project: Project, genesis: object, now: datetime
    ) -> None:
        machine: Machine = rows.machine(project, genesis)
        holder = Holder.of_machine(project, machine.pk, "Machine m1")
        window = window_of(rows.budget(project, 100_000, spent_micros=60_000, holder=holder))
        LedgerEntry.objects.bulk_create(
            charged(window, now - timedelta(minutes=60 - number), 1_000, machine_id=machine.pk)
            for number in range(60)
        )

        ahead = burn.of(window, now).forecast

        assert isinstance(ahead, Forecast)
        assert ahead.runs_out[1] is not None
        assert (ahead.runs_out[1] - now) / timedelta(minutes=1) == pytest.approx(40, abs=8)


class TestCalibration:
    @pytest.fixture
    def windows(self, project: Project, now: datetime) -> list[Window]:
        """Twelve days of a daily budget; on the last of them, suddenly ten times as much was used after noon."""
        budget = rows.budget(project, 10_000_000, period="day")
        midnight = now.replace(hour=0)
        for back in range(12, 0, -1):
            used = 24_000 if back > 1 else 12_000 + 120_000
            begin = midnight - back * DAY
            window = Window.objects.create(
                budget=budget, holder=budget.holder, resource="money", limit=10_000_000, spent=used,
                starts_at=begin, ends_at=begin + DAY, closed_at=begin + DAY,
            )  # fmt: skip
            noon = window.starts_at + DAY / 2
            spend(window, window.starts_at, noon)
            spend(window, noon, noon + DAY / 2, 1_000 if back > 1 else 10_000)
        return list(budget.windows.filter(closed_at__isnull=False).order_by("starts_at"))

    def test_it_counts_which_bands_made_at_half_time_held_the_truth(
        self, windows: list[Window], project: Project
    ) -> None:
        found = burn.calibration(project.pk)

        assert found.n == 9  # not the first three days: they had too short a past
        assert found.inside == 7  # not the last, nor the first Saturday: it was thought to be a quiet day

    def test_the_ledger_is_read_once_for_all_of_them(
        self,
        windows: list[Window],
        project: Project,
        django_assert_num_queries: Callable[[int], AbstractContextManager[object]],
    ) -> None:
        with django_assert_num_queries(2):
            burn.calibration(project.pk)

    def test_days_that_ran_out_are_left_out(
        self, windows: list[Window], project: Project, now: datetime
    ) -> None:
        Window.objects.filter(pk=windows[-1].pk).update(exhausted_at=now)

        assert burn.calibration(project.pk) == burn.Calibration(8, 7)
