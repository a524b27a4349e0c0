"""Forecasts: what they say, what they refuse to say, and how often they are right."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgets.forecast import Forecast, TooShort, burned, forecast, series
from budgets.paths import TEN_MINUTES

START = datetime(2026, 9, 7, tzinfo=UTC)  # a Monday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def steady(days: float, per_hour: int = 100) -> list[tuple[datetime, int]]:
    return [(START + number * HOUR, per_hour) for number in range(round(days * 24))]


def ahead(
    buckets: list[tuple[datetime, int]],
    now: datetime,
    until: datetime,
    limit: int = 10**12,
    consumed: int = 0,
) -> Forecast:
    said = forecast(series(buckets, until=now), now=now, until=until, limit=limit, consumed=consumed)
    assert isinstance(said, Forecast)
    return said


class TestWhatItSays:
    def test_a_steady_past_goes_on(self) -> None:
        now = START + 14 * DAY

        said = ahead(steady(14), now, now + 7 * DAY, consumed=5_000)

        assert said.consumed.middle == pytest.approx(5_000 + 7 * 2_400, rel=0.05)
        assert said.consumed.low < said.consumed.middle < said.consumed.high

    def test_the_time_at_which_it_runs_out_has_a_band(self) -> None:
        now = START + 14 * DAY

        said = ahead(steady(14), now, now + 30 * DAY, limit=10 * 2_400)

        early, middle, late = said.runs_out
        assert early is not None
        assert middle is not None
        assert late is not None
        assert early < middle < late
        assert (middle - now) / DAY == pytest.approx(10, abs=1)
        assert said.risk > 0.99
        assert not said.lasts

    def test_what_is_enough_lasts(self) -> None:
        now = START + 14 * DAY

        said = ahead(steady(14), now, now + 7 * DAY, limit=10 * 7 * 2_400)

        assert said.lasts
        assert said.runs_out == (None, None, None)
        assert said.risk == 0

    def test_what_is_used_up_runs_out_now(self) -> None:
        now = START + 14 * DAY

        assert ahead(steady(14), now, now + DAY, limit=900, consumed=900).runs_out[1] == now

    def test_weekends_are_forecast_from_weekends(self) -> None:
        quiet_weekends = [(at, 0 if at.weekday() >= 5 else amount) for at, amount in steady(19)]
        friday_night = START + 19 * DAY

        weekend = ahead(quiet_weekends, friday_night, friday_night + 2 * DAY)
        week = ahead(quiet_weekends, friday_night, friday_night + 7 * DAY)

        assert weekend.consumed.high == 0
        assert week.consumed.middle == pytest.approx(5 * 2_400, rel=0.1)

    def test_the_time_of_day_counts(self) -> None:
        by_day = [(at, 200 if 8 <= at.hour < 20 else 0) for at, _ in steady(10.5)]
        noon = START + 10.5 * DAY

        assert ahead(by_day, noon, noon + 8 * HOUR).consumed.middle == pytest.approx(1_600, rel=0.1)
        assert ahead(by_day, noon, noon + 12 * HOUR).marks[-2].consumed.middle == pytest.approx(
            1_600, rel=0.1
        )

    def test_growth_is_followed(self) -> None:
        growing = [(at, round(100 * math.exp(0.02 * ((at - START) / DAY)))) for at, _ in steady(28)]
        now = START + 28 * DAY
        last_week = sum(amount for at, amount in growing if at >= now - 7 * DAY)

        assert ahead(growing, now, now + 7 * DAY).consumed.middle > 1.02 * last_week

    def test_the_same_past_gives_the_same_forecast(self) -> None:
        now = START + 14 * DAY

        assert ahead(steady(14), now, now + DAY) == ahead(steady(14), now, now + DAY)

    def test_days_begin_where_the_budget_is(self) -> None:
        zone = ZoneInfo("Pacific/Auckland")
        past = series([(START, 1)], until=START + DAY, zone=zone)

        assert past.first % 24 == 12  # midnight in London is noon there

    def test_a_budget_of_hours_is_forecast_from_minutes(self) -> None:
        minutes = [(START + timedelta(minutes=number), 5) for number in range(90)]
        now = START + timedelta(minutes=90)
        past = series(minutes, until=now, cycle=TEN_MINUTES)

        said = forecast(past, now=now, until=now + HOUR, limit=900, consumed=450)

        assert isinstance(said, Forecast)
        assert said.consumed.middle == pytest.approx(450 + 60 * 5, rel=0.15)


class TestNotEnough:
    @pytest.mark.parametrize(("days", "whole"), [(0, 0), (0.5, 0), (2.9, 2)])
    def test_fewer_than_three_full_days_say_nothing(self, days: float, whole: int) -> None:
        now = START + timedelta(days=days)

        said = forecast(series(steady(days), until=now), now=now, until=now + DAY, limit=9, consumed=0)

        assert said == TooShort(whole, "full days")
        assert str(said) == (
            f"Not enough history for a forecast: it needs 3 full days, and there are {whole}."
        )

    def test_a_day_that_was_begun_late_is_not_full(self) -> None:
        late = steady(3)[1:]
        now = START + 3 * DAY

        assert forecast(series(late, until=now), now=now, until=now + DAY, limit=9, consumed=0) == TooShort(
            2, "full days"
        )


class TestTheChart:
    def test_what_is_known_ends_at_the_sum(self) -> None:
        past = series(steady(3), until=START + 3 * DAY)

        known = burned(past, since=START + 2 * DAY)

        assert known[0] == (START + 2 * DAY + HOUR, 100)
        assert known[-1] == (START + 3 * DAY, 2_400)

    def test_what_lies_ahead_begins_at_what_is_consumed_and_ends_with_the_period(self) -> None:
        now = START + 10 * DAY + HOUR / 2

        marks = ahead(steady(11), now, now + 5 * DAY, consumed=700).marks

        assert (marks[0].at, marks[0].consumed.low, marks[0].consumed.high) == (now, 700, 700)
        assert marks[-1].at == now + 5 * DAY
        assert [mark.at for mark in marks] == sorted({mark.at for mark in marks})


amounts = st.lists(st.integers(-50, 1_000), min_size=96, max_size=24 * 12)


class TestAlways:
    @settings(max_examples=40, deadline=None)
    @given(amounts, st.floats(0.1, 40), st.integers(0, 10**6), st.integers(0, 10**6))
    def test_bands_are_in_order_and_risk_agrees_with_the_time(
        self, used: list[int], days: float, limit: int, consumed: int
    ) -> None:
        buckets = [(START + number * HOUR, amount) for number, amount in enumerate(used)]
        now = START + len(used) * HOUR

        said = ahead(buckets, now, now + timedelta(days=days), limit, consumed)

        for mark in said.marks:
            assert mark.consumed.low <= mark.consumed.middle <= mark.consumed.high
        times = [at for at in said.runs_out if at]
        assert times == sorted(times)
        assert all(now <= at <= said.until for at in times)
        assert (said.runs_out[1] is not None) == (said.risk > 0.5)

    @settings(max_examples=20, deadline=None)
    @given(amounts, st.integers(1, 10**6))
    def test_a_higher_limit_never_runs_out_sooner(self, used: list[int], limit: int) -> None:
        buckets = [(START + number * HOUR, abs(amount)) for number, amount in enumerate(used)]
        now = START + len(used) * HOUR
        late = now + 30 * DAY

        low, high = (ahead(buckets, now, late, one) for one in (limit, 2 * limit))

        assert all((a or late) <= (b or late) for a, b in zip(low.runs_out, high.runs_out, strict=True))
        assert high.risk <= low.risk


@dataclass(frozen=True)
class World:
    """How a made-up project spends: calls come in bursts, by day more than by night, and cost very different sums."""

    weekend: float = 1.0
    growth: float = 0.0

    def spend(self, chance: random.Random, days: int) -> list[tuple[datetime, int]]:
        begin = START + chance.randrange(7) * DAY
        rate, size = chance.uniform(0.3, 3), chance.uniform(10, 14)
        return [
            (begin + number * HOUR, self._hour(chance, begin + number * HOUR, number, rate, size))
            for number in range(days * 24)
        ]

    def _hour(self, chance: random.Random, at: datetime, number: int, rate: float, size: float) -> int:
        level = (self.weekend if at.weekday() >= 5 else 1) * math.exp(self.growth * number / 24)
        calls = _poisson(chance, rate * level * (1.8 if 8 <= at.hour < 18 else 0.3))
        return sum(round(chance.lognormvariate(size, 1)) for _ in range(calls))


def _poisson(chance: random.Random, mean: float) -> int:
    number, passed = 0, chance.expovariate(1)
    while passed < mean:
        number, passed = number + 1, passed + chance.expovariate(1)
    return number


def forecasts(world: World, number: int) -> Iterator[tuple[Forecast, int]]:
    """Forecasts at any hour, after 5 to 28 days, for a day to a month ahead; each with what came true."""
    chance = random.Random(repr(world))
    for _ in range(number):
        known, unknown = chance.choice((5, 9, 14, 28)), chance.choice((1, 3, 7, 14, 30))
        spent = world.spend(chance, known + unknown + 1)
        now = spent[0][0] + known * DAY + chance.randrange(24) * HOUR
        until = now + unknown * DAY
        past = [bucket for bucket in spent if bucket[0] < now]
        yield ahead(past, now, until), sum(amount for at, amount in spent if now <= at < until)


class TestCalibration:
    """The worlds differ in what is said of weekends, and in how much more is spent each day."""

    @pytest.mark.parametrize(
        "world", [World(), World(weekend=0.15), World(growth=0.015), World(weekend=0.15, growth=0.01)]
    )
    def test_eight_of_ten_bands_hold_the_truth(self, world: World) -> None:
        held = [said.consumed.low <= truth <= said.consumed.high for said, truth in forecasts(world, 100)]

        assert 0.7 <= sum(held) / len(held) <= 0.92
